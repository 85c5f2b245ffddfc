package objstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const (
	// maxFile bounds what Store.File reads and makes, in bytes.
	maxFile  = 64 << 10
	filePerm = 0o600
)

// File reads the file of that name in the world's directory whole: a small one of its user's
// own, of at most 64 KiB, such as a secret that is not to be among the rows. If there is none
// it is made with what make returns; after a crash it is there whole or not at all, and it is
// never answered before it is there for good. In a world that is open for reading only,
// nothing is written, and a file that is missing is an error that wraps fs.ErrNotExist.
//
// An error of make is returned as it is. Others name the file and never tell its content:
// ErrClosed, ErrStopped once writes have stopped, and those of the file system. If the
// directory cannot be synced, writes stop. Names of the store itself, those that end in
// ".new" and those that are paths are refused.
//
// Commits wait meanwhile, so make must not use the store. Call File when opening, and keep
// the answer, which is the caller's: each call reads the file again and syncs the directory.
func (s *Store) File(name string, make func() ([]byte, error)) ([]byte, error) {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	if err := s.mayFile(name); err != nil {
		return nil, fmt.Errorf("file %q: %w", name, err)
	}
	data, err := readFile(s.files, name)
	if errors.Is(err, fs.ErrNotExist) && !s.opts.ReadOnly {
		if data, err = make(); err != nil {
			return nil, err
		}
		err = makeFile(s.files, name, data)
	}
	if err == nil && !s.opts.ReadOnly {
		// Also if the file was there: who made it may have ended before this.
		if err = s.files.SyncDir(); err != nil {
			err = s.fail("directory", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("file %q: %w", name, err)
	}
	return data, nil
}

// mayFile says why there is no file of that name to be had.
func (s *Store) mayFile(name string) error {
	_, segment := parseSegment(name)
	if segment || name == storeName || name == lockName || strings.HasSuffix(name, newSuffix) {
		return errors.New("is a name of the store's own")
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\:`) {
		return errors.New("is not a plain name")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.stopped
}

func readFile(files FS, name string) ([]byte, error) {
	f, err := files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && size > maxFile {
		err = tooLong(size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	data, err := readWhole(f)
	return data, errors.Join(err, f.Close())
}

// makeFile puts a file in place whose content is durable. Its name is not, before the
// directory is synced. A file that an earlier try has left is not written to again: the sync
// of it may have failed, and then a later one proves nothing.
func makeFile(files FS, name string, data []byte) error {
	if len(data) > maxFile {
		return tooLong(int64(len(data)))
	}
	temp := name + newSuffix
	if err := files.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := files.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return files.Rename(temp, name)
}

func tooLong(size int64) error { return fmt.Errorf("%d bytes, the limit is %d", size, maxFile) }
