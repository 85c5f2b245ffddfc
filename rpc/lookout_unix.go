//go:build unix

package rpc

import "golang.org/x/sys/unix"

type pollFd = unix.PollFd

func asks(fd int) pollFd { return unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} }

// poll reports whether any has something, and notes in each whether it has.
func poll(fds []pollFd) bool {
	n, err := unix.Poll(fds, 0)
	return n > 0 && err == nil
}

func has(p pollFd) bool { return p.Revents != 0 }
