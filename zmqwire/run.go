package zmqwire

// RunBytes is the size from which a run is full: large enough that what a run costs is nothing for each record, small
// enough that reading one record never loads much.
const RunBytes = 64 << 10

// RecordOverhead is what a record takes in a run besides its content: where it ends.
const RecordOverhead = 4

// Run is consecutive records of one partition: the form in which they are kept, stored and sent.
type Run struct {
	First    uint64   // the sequence of the first record
	Ends     []uint32 // where each record's content ends in Contents
	Contents []byte
}

// Len is the number of records.
func (r *Run) Len() int { return len(r.Ends) }

// End is the sequence that follows the last record's.
func (r *Run) End() uint64 { return r.First + uint64(len(r.Ends)) }

// Size is about how many bytes the run occupies.
func (r *Run) Size() int { return len(r.Contents) + RecordOverhead*len(r.Ends) }

// Full says that a further record should begin a run of its own. Any run takes one record, of whatever size.
func (r *Run) Full(content int) bool {
	return len(r.Ends) > 0 && r.Size()+content+RecordOverhead > RunBytes
}

// Append adds a copy of content as the next record.
func (r *Run) Append(content []byte) {
	r.Contents = append(r.Contents, content...)
	r.Ends = append(r.Ends, uint32(len(r.Contents)))
}

// Content is the content of record i, from 0; it points into the run.
func (r *Run) Content(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = r.Ends[i-1]
	}
	return r.Contents[start:r.Ends[i]:r.Ends[i]]
}

// Reset empties the run, keeps its memory, and lets it begin at first.
func (r *Run) Reset(first uint64) {
	r.First, r.Ends, r.Contents = first, r.Ends[:0], r.Contents[:0]
}
