package cli

import (
	"fmt"
	"net"
	"strings"

	"github.com/alecthomas/kong"
)

// peers is the flag --peer HOST=ADDR, which may be repeated: where other hosts are.
type peers map[string]string

// Decode reads one value.
func (p *peers) Decode(ctx *kong.DecodeContext) error {
	var value string
	if err := ctx.Scan.PopValueInto("HOST=ADDR", &value); err != nil {
		return err
	}
	host, address, err := parsePeer(value)
	if err != nil {
		return err
	}
	if *p == nil {
		*p = peers{}
	}
	(*p)[host] = address
	return nil
}

func parsePeer(value string) (host, address string, err error) {
	host, address, _ = strings.Cut(value, "=")
	if !isHost(host) {
		return "", "", fmt.Errorf("it wants HOST=ADDR, where HOST is the 32 characters that the command id prints; not %q", value)
	}
	if path, local := strings.CutPrefix(address, unixScheme); path == "" || !local && !isAddress(address) {
		return "", "", fmt.Errorf("ADDR is like db.example.org:7070, or unix: and the path of a socket; not %q", address)
	}
	return host, address, nil
}

// unixScheme is what the address of a socket begins with.
const unixScheme = "unix:"

// isHost reports whether s has the form of a host's name.
func isHost(s string) bool {
	return len(s) == 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// isAddress reports whether a TCP connection can be asked for with s.
func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}
