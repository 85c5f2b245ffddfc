//go:build !linux

package objstore

import "os"

// dataSync is fsync where there is no fdatasync.
func dataSync(f *os.File) error { return f.Sync() }

// memoryDir is the system's directory for temporary files.
func memoryDir() string { return "" }
