package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/console"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/objstore"
)

// noWorldError says that a directory holds no world.
type noWorldError struct{ dir string }

func (e *noWorldError) Error() string { return "no world in " + e.dir }

// explain is err for people, with what to do next.
func explain(err error, command string) string {
	said := text.Clean(err.Error())
	var of *console.Failure // which has the lines that it wants
	if errors.Is(err, caps.ErrNotDelivered) && !errors.As(err, &of) {
		said = oneLine(err)
	}
	if hint := hint(err, command); hint != "" {
		return said + "\n" + hint
	}
	return said
}

// oneLine is an error of the wire. Each address that was tried has a line in it.
func oneLine(err error) string { return text.Line(strings.ReplaceAll(err.Error(), "\n", "; ")) }

func hint(err error, command string) string {
	var none *noWorldError
	var mute *notListening
	var apart *hostApart
	var of *caps.Error
	var said *console.Failure
	switch {
	case errors.As(err, &apart):
		return command + " serve --peer HOST=ADDR says where a host is to the one that runs; a text that says it itself needs no more: " + command + " save --at ADDR."
	case errors.As(err, &mute):
		return "A program can be attached to while it runs if it calls rpc.Attach, as " + command + " serve does. Else end it, then try again. Nothing was changed."
	case errors.As(err, &of) && of.Code == caps.ErrNotDelivered && of.Op == "restore" && !errors.As(err, &said): // a session says it itself
		return "--peer HOST=ADDR says where a host is."
	case errors.As(err, &none):
		return "A world is the directory that a program gave to sturdy.Open; this command makes none."
	case errors.Is(err, objstore.ErrInUse):
		return "A world is open in one process at a time: end that one, then try again. If it listens, repl, ls, hosts, ps, mail, dead, timers, mount, save, schema and each attach to it. Nothing was changed."
	case errors.Is(err, objstore.ErrNewerFormat):
		return "Use the version of this command that belongs to the program that made the world."
	case errors.Is(err, objstore.ErrDamaged):
		return fmt.Sprintf("What is wrong in all: %s check DIR. Restore from a backup what it names.", command)
	case errors.Is(err, context.Canceled):
		return "Interrupted; nothing was changed."
	}
	return ""
}
