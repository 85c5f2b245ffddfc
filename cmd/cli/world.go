package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// world is the argument that says which world, and how it is opened.
type world struct {
	Dir string `arg:"" name:"DIR" help:"The directory of the world."`
}

// open opens the world; to look only, unless write. It never makes one: what is no world,
// opening to look finds out and leaves alone.
func (w world) open(a *app, kinds []sturdy.Kind, write bool) (*sturdy.Runtime, error) {
	o := sturdy.Options{Dir: w.Dir, Kinds: kinds, ReadOnly: true, Log: a.log()}
	if write {
		_, err := os.Stat(filepath.Join(w.Dir, "objects.db"))
		o.ReadOnly = err != nil
	}
	rt, err := o.Open()
	switch {
	case err == nil && write && o.ReadOnly:
		return nil, errors.Join(&noWorldError{w.Dir}, rt.Close())
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, objstore.ErrDamaged):
		return nil, &noWorldError{w.Dir}
	case errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%s is a file, and a world is a directory", w.Dir)
	}
	return rt, err
}

// look opens the world to look only and closes it when do has returned. do ends early when
// the user interrupts it.
func (w world) look(ctx context.Context, a *app, do func(context.Context, *sturdy.Runtime) error) error {
	return w.lookWith(ctx, a, nil, do)
}

// lookWith is look with kinds, for what depends on which are known.
func (w world) lookWith(ctx context.Context, a *app, kinds []sturdy.Kind, do func(context.Context, *sturdy.Runtime) error) (err error) {
	rt, err := w.open(a, kinds, false)
	if err != nil {
		return err
	}
	defer closing(rt, &err)
	ctx, stop := interruptible(ctx)
	defer stop()
	return do(ctx, rt)
}

// closing closes the world at the end of a command.
func closing(rt *sturdy.Runtime, err *error) {
	if failed := rt.Close(); *err == nil {
		*err = failed
	}
}

// log reports errors only: what a reader of a log should know of a world, the commands say
// themselves.
func (a *app) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

// quoted is an argument as one would type it in a shell.
func quoted(arg string) string {
	if arg != "" && strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%=,") == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
