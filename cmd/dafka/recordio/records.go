package recordio

import (
	"context"
	"fmt"
	"io"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
)

// PrintRecords prints count records (0: all there are). At the end it returns io.EOF, and nil after count records or when
// ctx ends. It flushes when the next record has to be waited for: what is known is seen at once, and what is plenty is
// written in large pieces. When it returns, all that it printed is written, unless that failed.
func PrintRecords(ctx context.Context, from *consumer.Consumer, out *Printer, format Format, count uint64) (err error) {
	defer func() {
		if failure := out.Flush(); failure != nil && (err == nil || err == io.EOF) {
			err = failure
		}
	}()
	for n := uint64(0); count == 0 || n < count; n++ {
		record, err := from.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if record.Skipped > 0 {
			fmt.Fprintf(terminal.Stderr, "skipped records %d to %d of topic %s, partition %s: nobody has them\n",
				record.Sequence-record.Skipped, record.Sequence-1,
				terminal.Printable(TextOrBase64(record.Topic)), terminal.Printable(TextOrBase64(record.Partition)))
		}
		if err := out.Print(format, &record); err != nil {
			return err
		}
		if !from.Buffered() {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}
