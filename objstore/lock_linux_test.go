package objstore

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestALockIsGivenBackWhileAChildIsStarted has another descriptor of the locked file, as a child
// has between its fork and its exec.
func TestALockIsGivenBackWhileAChildIsStarted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "w")
	unlock, err := osFiles(dir).Lock(time.Now(), false)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, fd := range fds {
		if of, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && of == filepath.Join(dir, lockName) {
			n, _ := strconv.Atoi(fd.Name())
			other, err := syscall.Dup(n)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Close(other) }()
			found = true
		}
	}
	if !found {
		t.Fatal("the locked file was not found")
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	unlock, err = osFiles(dir).Lock(time.Now(), false)
	if err != nil {
		t.Fatal("locked again:", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
