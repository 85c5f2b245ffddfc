package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/objstore"
)

// noWorldError says that a directory holds no world.
type noWorldError struct{ dir string }

func (e *noWorldError) Error() string { return "no world in " + e.dir }

// explain is err for people, with what to do next.
func explain(err error, command string) string {
	said := text.Clean(err.Error())
	if hint := hint(err, command); hint != "" {
		return said + "\n" + hint
	}
	return said
}

func hint(err error, command string) string {
	var none *noWorldError
	switch {
	case errors.As(err, &none):
		return "A world is the directory that a program gave to sturdy.Open; this command makes none."
	case errors.Is(err, objstore.ErrInUse):
		return "A world is open in one process at a time: end that one, then try again. Nothing was changed."
	case errors.Is(err, objstore.ErrNewerFormat):
		return "Use the version of this command that belongs to the program that made the world."
	case errors.Is(err, objstore.ErrDamaged):
		return fmt.Sprintf("What is wrong in all: %s check DIR. Restore from a backup what it names.", command)
	case errors.Is(err, context.Canceled):
		return "Interrupted; nothing was changed."
	}
	return ""
}
