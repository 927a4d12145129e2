package partdb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SealFile is the name of a seal. A seal lies in the folder of a store that was closed, and not killed, and says which
// files there were: a line for each, with its size and, for the newest log and manifest, a checksum.
//
// Pebble takes a log that ends early for one whose last commit was under way when the power failed, one that is missing
// for empty, and a manifest likewise. After a crash nobody can tell that from damage. After a close the seal can.
const SealFile = "closed"

type sealedFile struct {
	name     string
	size     int64
	checksum string // CRC-32C in hexadecimal, or "-"
}

// seal describes the files of a folder that nobody writes to.
func seal(dir string) (files []sealedFile, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	newest := make(map[bool]int) // by whether it is a log
	for _, entry := range entries {
		name := entry.Name()
		if !entry.Type().IsRegular() || !isDatabase(name) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		files = append(files, sealedFile{name, info.Size(), "-"})
		// Names sort as they were made.
		if IsLog(name) || strings.HasPrefix(name, "MANIFEST-") {
			newest[IsLog(name)] = len(files) - 1
		}
	}
	for _, i := range newest {
		if files[i].checksum, err = fileChecksum(filepath.Join(dir, files[i].name)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func fileChecksum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("%08x", sum.Sum32()), nil
}

// WriteSeal seals a folder that nobody writes to. One that is lost in a crash is not missed: then the folder is as one
// whose store was killed.
func WriteSeal(dir string) error {
	files, err := seal(dir)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, f := range files {
		fmt.Fprintln(&text, f.name, f.size, f.checksum)
	}
	fmt.Fprintln(&text, "end", len(files), "-")
	return putSeal(dir, text.Bytes())
}

// putSeal makes the seal in one step: half of one would pass for damage.
func putSeal(dir string, text []byte) error {
	path := filepath.Join(dir, SealFile)
	half := path + ".tmp"
	err := func() error {
		file, err := os.Create(half)
		if err != nil {
			return err
		}
		_, err = file.Write(text)
		return errors.Join(err, file.Sync(), file.Close())
	}()
	if err == nil {
		err = os.Rename(half, path)
	}
	if err != nil {
		os.Remove(half)
		return err
	}
	return SyncFolder(dir)
}

// CheckWhole keeps a store from a folder in which files are missing or were cut, or a log is damaged. Pebble would open it
// all the same, and then remove the tables of which it does not know, and the log.
func CheckWhole(dir string) error {
	closed, faults, err := CheckSeal(dir)
	if err == nil && !closed {
		faults, err = CheckKilled(dir)
	}
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(faults, "; "))
	}
	return nil
}

// CheckKilled looks for what is missing or damaged in the folder of a store that was not closed.
func CheckKilled(dir string) (faults []string, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it is new
	}
	f := &Folder{Dir: dir}
	tables, err := f.Files(IsTable)
	if err != nil {
		return nil, err
	}
	logs, err := f.Files(IsLog)
	if err != nil {
		return nil, err
	}
	if len(tables) > 0 {
		if markers, _ := filepath.Glob(filepath.Join(dir, "marker.manifest.*")); len(markers) == 0 {
			return []string{"there is no manifest"}, nil
		}
		if len(logs) == 0 {
			return []string{"there is no log"}, nil
		}
	}
	for i, path := range logs {
		l, err := OpenLog(path)
		if err != nil {
			return nil, err
		}
		r := l.Read(func([]byte) error { return nil })
		if err := r.Damaged(i == len(logs)-1); err != nil {
			faults = append(faults, filepath.Base(path)+": "+OneLine(err))
		}
	}
	return faults, nil
}

// breakSeal takes the seal away before the database is opened, and returns how to put it back when that fails.
func breakSeal(dir string) (restore func()) {
	path := filepath.Join(dir, SealFile)
	text, err := os.ReadFile(path)
	if err != nil || os.Remove(path) != nil {
		return func() {}
	}
	return func() { putSeal(dir, text) }
}

// CheckSeal compares a folder with its seal. There may be none.
func CheckSeal(dir string) (closed bool, faults []string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, SealFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	count, whole := 0, false
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); count++ {
		var f sealedFile
		if _, err := fmt.Sscan(lines.Text(), &f.name, &f.size, &f.checksum); err != nil {
			break
		}
		if whole = f.name == "end" && f.size == int64(count); whole {
			break
		}
		fault, err := f.check(dir)
		if err != nil {
			return false, nil, err
		}
		if fault != "" {
			faults = append(faults, fault)
		}
	}
	if !whole {
		faults = append(faults, SealFile+": it is damaged, and no longer tells which files there were")
	}
	return true, faults, nil
}

func (f *sealedFile) check(dir string) (fault string, err error) {
	path := filepath.Join(dir, f.name)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.name + ": it is missing", nil
	case err != nil:
		return "", err
	case info.Size() != f.size:
		return fmt.Sprintf("%s: it has %d bytes, and had %d when the store was closed", f.name, info.Size(), f.size), nil
	case f.checksum == "-":
		return "", nil
	}
	checksum, err := fileChecksum(path)
	if err == nil && checksum != f.checksum {
		fault = f.name + ": its contents have changed since the store was closed"
	}
	return fault, err
}
