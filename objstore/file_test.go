package objstore

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const secret = "a secret of some length"

// give is a make for File that counts how often it is asked.
func give(asked *int, content string) func() ([]byte, error) {
	return func() ([]byte, error) {
		*asked++
		return []byte(content), nil
	}
}

func TestFileIsMadeOnceAndStays(t *testing.T) {
	dir := t.TempDir()
	asked := 0
	for range 2 {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := s.File("key", give(&asked, secret)); err != nil || string(got) != secret {
				t.Errorf("%q, %v", got, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("made %d times", asked)
	}
	info, err := os.Stat(filepath.Join(dir, "key"))
	if err != nil || filepath.Separator == '/' && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "key.new")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestFileIsOnDiskBeforeItIsAnswered is the order of its operations, also when the file is
// found: who made it may not have come as far as to sync the directory.
func TestFileIsOnDiskBeforeItIsAnswered(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files, CheckpointEvery: time.Hour})
	defer s.Close()
	want := []string{
		"remove key.new", "create key.new", fmt.Sprintf("write key.new %d", len(secret)), "sync key.new",
		"rename key.new key", "syncdir",
	}
	for range 2 {
		before := len(files.Log())
		if _, err := s.File("key", give(new(int), secret)); err != nil {
			t.Fatal(err)
		}
		if got := files.Log()[before:]; !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		want = []string{"syncdir"}
	}
}

func TestLeftoverOfAFileIsReplaced(t *testing.T) {
	for _, left := range []string{"", "half", strings.Repeat("long", 1000)} {
		files := testMemory(t)
		if err := files.WriteFile("key.new", []byte(left)); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, Options{Files: files})
		if got, err := s.File("key", give(new(int), secret)); err != nil || string(got) != secret {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := files.ReadFile("key"); err != nil || string(got) != secret {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := files.ReadFile("key.new"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFaultAndCrashAtEveryOperationOfAFile makes the n-th operation fail, alone or with all
// behind it, and cuts the power. What was answered is found again; otherwise the file is
// there whole or not at all. A second try in the same opening is held to the same.
func TestFaultAndCrashAtEveryOperationOfAFile(t *testing.T) {
	r := RandomFor(t)
	found := map[string]int{}
	for n := range 8 {
		for try := range 64 {
			once, short := try%2 == 0, r.IntN(len(secret)+1)
			files := testMemory(t)
			s := mustOpen(t, Options{Files: files, CheckpointEvery: time.Hour})
			done := 0
			files.Hook(func(string, string, int) (int, error) {
				if done++; done == n+1 || done > n && !once {
					return short, syscall.EIO
				}
				return 0, nil
			})
			answered := ""
			for i := range 2 {
				got, err := s.File("key", give(new(int), fmt.Sprint(i)+secret))
				switch {
				case err == nil:
					answered = string(got)
				case !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), `"key"`) || strings.Contains(err.Error(), secret):
					t.Errorf("operation %d: %v", n, err)
				}
			}
			found[afterCrash(t, s, files, answered, func() bool { return r.IntN(2) == 0 })]++
		}
	}
	t.Log(found)
	if len(found) != 3 {
		t.Error("one of the three outcomes never came")
	}
}

// afterCrash says whether the file was answered, is there or was made again.
func afterCrash(t *testing.T, s *Store, files *MemoryFiles, answered string, keep func() bool) string {
	t.Helper()
	after, err := files.Crash(keep)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	s = mustOpen(t, Options{Files: after})
	got, err := s.File("key", give(new(int), "again"))
	if err := errors.Join(err, s.Check(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	switch whole := string(got); {
	case answered != "" && whole == answered:
		return "answered"
	case answered == "" && (whole == "0"+secret || whole == "1"+secret):
		return "there"
	case answered == "" && whole == "again":
		return "made again"
	default:
		t.Fatalf("found %q, answered %q", whole, answered)
		return ""
	}
}

// TestFileWhoseDirectoryCannotBeSynced stops writes: the name may go in a crash, and a sync
// that succeeds later would not prove the contrary.
func TestFileWhoseDirectoryCannotBeSynced(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files, CheckpointEvery: time.Hour})
	files.Hook(func(op, _ string, _ int) (int, error) {
		if op == "syncdir" {
			return 0, syscall.EIO
		}
		return 0, nil
	})
	for range 2 {
		if _, err := s.File("key", give(new(int), secret)); !errors.Is(err, ErrStopped) || !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		files.Hook(nil)
	}
	if err := s.Commit(t.Context(), testBatch(s, 1, 1)); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	_ = s.Close()
}

func TestFileOfAWorldOpenForReading(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files})
	if _, err := s.File("key", give(new(int), secret)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(files.WriteFile("other.new", []byte("left over")), s.Close()); err != nil {
		t.Fatal(err)
	}
	before, asked := images(t, files), 0
	s = mustOpen(t, Options{Files: files, ReadOnly: true})
	files.Log()
	if got, err := s.File("key", give(&asked, "another")); err != nil || string(got) != secret {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := s.File("other", give(&asked, "another")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "other") {
		t.Error(err)
	}
	if log := files.Log(); len(log) > 0 || asked > 0 || !maps.Equal(before, images(t, files)) {
		t.Errorf("%q, asked %d times, or something has been written", log, asked)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files})
	asked := 0
	names := []string{
		"", ".", "..", "a/b", `a\b`, "c:a", storeName, storeName + newSuffix, lockName, "key.new", segmentName(1), segmentName(77),
	}
	for _, name := range names {
		if got, err := s.File(name, give(&asked, secret)); err == nil || asked > 0 {
			t.Errorf("%q: %q", name, got)
		}
	}
	cause := errors.New("no luck")
	if _, err := s.File("key", func() ([]byte, error) { return []byte(secret), cause }); err != cause {
		t.Error(err)
	}
	most := strings.Repeat("s", maxFile)
	if _, err := s.File("key", give(&asked, most+"s")); err == nil || strings.Contains(err.Error(), "ss") {
		t.Error(err)
	}
	if got, err := s.File("key", give(&asked, most)); err != nil || string(got) != most {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := files.WriteFile("key", []byte(most+"s")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.File("key", give(&asked, most)); err == nil || strings.Contains(err.Error(), "ss") {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.File("key", give(&asked, most)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
