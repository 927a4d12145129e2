package store

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

// A seal lies in the folder of a store that was closed, and not killed, and says which files there were: a line for
// each, with its size and, for the newest log and manifest, a checksum.
//
// Pebble takes a log that ends early for one whose last commit was under way when the power failed, one that is missing
// for empty, and a manifest likewise. After a crash nobody can tell that from damage. After a close the seal can.
const sealFile = "closed"

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
		if isLog(name) || strings.HasPrefix(name, "MANIFEST-") {
			newest[isLog(name)] = len(files) - 1
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

// writeSeal seals a folder that nobody writes to. One that is lost in a crash is not missed: then the folder is as one
// whose store was killed.
func writeSeal(dir string) error {
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
	path := filepath.Join(dir, sealFile)
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
	return syncFolder(dir)
}

// checkClosed keeps a store from a folder in which files are missing or were cut. Pebble would open it all the same, and
// then remove the tables of which it does not know.
func checkClosed(dir string) error {
	_, faults := checkSeal(dir)
	if len(faults) == 0 {
		markers, _ := filepath.Glob(filepath.Join(dir, "marker.manifest.*"))
		tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
		if len(markers) > 0 || len(tables) == 0 {
			return nil
		}
		faults = []string{"there is no manifest"}
	}
	return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(faults, "; "))
}

// breakSeal takes the seal away before the database is opened, and returns how to put it back when that fails.
func breakSeal(dir string) (restore func()) {
	path := filepath.Join(dir, sealFile)
	text, err := os.ReadFile(path)
	if err != nil || os.Remove(path) != nil {
		return func() {}
	}
	return func() { putSeal(dir, text) }
}

// checkSeal compares a folder with its seal. There may be none.
func checkSeal(dir string) (closed bool, faults []string) {
	text, err := os.ReadFile(filepath.Join(dir, sealFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, []string{err.Error()}
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
		if fault := f.check(dir); fault != "" {
			faults = append(faults, fault)
		}
	}
	if !whole {
		faults = append(faults, sealFile+": it is damaged, and no longer tells which files there were")
	}
	return true, faults
}

func (f *sealedFile) check(dir string) string {
	path := filepath.Join(dir, f.name)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.name + ": it is missing"
	case err != nil:
		return err.Error()
	case info.Size() != f.size:
		return fmt.Sprintf("%s: it has %d bytes, and had %d when the store was closed", f.name, info.Size(), f.size)
	case f.checksum == "-":
		return ""
	}
	if checksum, err := fileChecksum(path); err != nil {
		return err.Error()
	} else if checksum != f.checksum {
		return f.name + ": its contents have changed since the store was closed"
	}
	return ""
}
