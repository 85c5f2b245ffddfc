package objstore

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// This file, and the ones per system beside it, are where the package meets the operating
// system: files, clock and randomness enter here and through Options, nowhere else.

// OSFiles is the FS of the operating system, rooted at dir, which need not exist yet.
func OSFiles(dir string) FS { return osFiles(dir) }

type osFiles string

type osFile struct{ *os.File }

// withDefaults fills in what the operating system provides.
func (o Options) withDefaults(dir string) Options {
	if o.Files == nil {
		o.Files = OSFiles(dir)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, 30*time.Second)
	o.MaxJournal = cmp.Or(o.MaxJournal, 256<<20)
	o.CheckpointBytes = min(cmp.Or(o.CheckpointBytes, 64<<20), o.MaxJournal)
	o.SnapshotAge = cmp.Or(o.SnapshotAge, 10*time.Second)
	return o
}

// noMemory is what mapping a file fails with when there is no room for the map.
const noMemory = syscall.ENOMEM

// isFull reports whether err says that the disk, or somebody's share of it, is full.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isWrite reports whether err comes from a write call, and not from a sync.
func isWrite(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe) && (pe.Op == "write" || pe.Op == "truncate")
}

func (d osFiles) path(name string) string { return filepath.Join(string(d), name) }

func (d osFiles) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(d.path(name), flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osFiles) OpenMapped(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(d.path(name), flag, perm)
}

func (d osFiles) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }
func (d osFiles) Remove(name string) error     { return os.Remove(d.path(name)) }

func (d osFiles) ReadDir() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func (d osFiles) SyncDir() error { return syncDir(string(d)) }

func (d osFiles) Identity(name string) (string, error) {
	info, err := os.Stat(d.path(name))
	if err != nil {
		return "", err
	}
	return fileIdentity(info), nil
}

// Lock makes the directory if it is not there, unless the lock is shared.
func (d osFiles) Lock(since time.Time, shared bool) (unlock func() error, err error) {
	flag := os.O_RDONLY
	if !shared {
		flag = os.O_RDWR | os.O_CREATE
		if err := makeDir(string(d)); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(d.path(lockName), flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f, shared); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 4096))
		return nil, errors.Join(d.inUse(string(holder), err), f.Close())
	}
	if !shared {
		text := fmt.Sprintf("pid %d\nprogram %s\nsince %s\n", os.Getpid(), os.Args[0], since.Format(time.RFC3339))
		if err := errors.Join(f.Truncate(0), writeText(f, text)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return func() error { return errors.Join(unlockFile(f), f.Close()) }, nil
}

func writeText(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// inUse says who has the world, from the text that the holder has put into the lock file.
func (d osFiles) inUse(holder string, cause error) error {
	if !errors.Is(cause, errLocked) {
		return fmt.Errorf("%s: lock: %w", string(d), cause)
	}
	said := map[string]string{}
	for line := range strings.Lines(holder) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[name] = value
	}
	if said["pid"] == "" {
		return fmt.Errorf("%s: %w by another reader or an unknown process", string(d), ErrInUse)
	}
	since := said["since"]
	if t, err := time.Parse(time.RFC3339, since); err == nil {
		since = t.Local().Format("15:04")
	}
	return fmt.Errorf("%s: %w by pid %s (%s, since %s)", string(d), ErrInUse, said["pid"], said["program"], since)
}

// makeDir creates dir durably: the directories above are synced, too.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s: %w", dir, syscall.ENOTDIR)
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func (f osFile) Sync() error { return dataSync(f.File) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// errLocked is what lockFile returns when somebody else has the lock.
var errLocked = errors.New("locked")
