//go:build !unix

package rpc

// Nothing is asked of other systems, where Go's runtime asks every 10 ms.
type pollFd struct{}

func asks(int) pollFd { return pollFd{} }

func poll([]pollFd) bool { return false }

func has(pollFd) bool { return false }
