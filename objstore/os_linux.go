package objstore

import (
	"os"
	"syscall"
)

// dataSync is fdatasync: of the file's metadata only its size is written, and preallocated
// segments do not change theirs.
func dataSync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// memoryDir is where files that need not last are best put: in memory, if there is a lot of
// room for files there, as there is not in most containers.
func memoryDir() string {
	const dir, enough = "/dev/shm", 1 << 30
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil || uint64(st.Bsize)*st.Bavail < enough {
		return ""
	}
	return dir
}
