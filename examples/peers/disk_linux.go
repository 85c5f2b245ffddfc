package peers

import (
	"os"
	"syscall"
)

// fdatasync makes the content of f durable, without its times.
func fdatasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

// inMemory reports whether dir is on a file system that has no disk below it, where a sync
// costs nothing and a measurement of durability means nothing.
func inMemory(dir string) (bool, error) {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var fs syscall.Statfs_t
	err := syscall.Statfs(dir, &fs)
	return uint32(fs.Type) == tmpfs || uint32(fs.Type) == ramfs, err
}
