package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// world is the argument that says which world, and how it is opened.
type world struct {
	Dir string `arg:"" name:"DIR" help:"The directory of the world."`
}

// open opens the world; to look only, unless write.
func (w world) open(a *app, kinds []sturdy.Kind, write bool) (*sturdy.Runtime, error) {
	return w.openAs(sturdy.Options{Kinds: kinds, Log: a.log()}, write)
}

// openAs is open with options. It never makes a world: what is none, opening to look finds out
// and leaves alone.
func (w world) openAs(o sturdy.Options, write bool) (*sturdy.Runtime, error) {
	o.Dir, o.ReadOnly = w.Dir, !write || !w.exists()
	rt, err := o.Open()
	switch {
	case err == nil && write && o.ReadOnly:
		return nil, errors.Join(&noWorldError{w.Dir}, rt.Close())
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, objstore.ErrDamaged):
		return nil, &noWorldError{w.Dir}
	case errors.Is(err, syscall.ENOTDIR):
		return nil, w.isFile()
	}
	return rt, err
}

// exists reports whether there is a world.
func (w world) exists() bool {
	_, err := os.Stat(filepath.Join(w.Dir, "objects.db"))
	return err == nil
}

func (w world) isFile() error { return fmt.Errorf("%s is a file, and a world is a directory", w.Dir) }

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

// see is look for what a running host answers as well, if it has the world open and listens. kinds
// are for what depends on which are known.
func (w world) see(ctx context.Context, a *app, kinds []sturdy.Kind, do func(context.Context, look.World) error) (err error) {
	rt, err := w.open(a, kinds, false)
	if err != nil && !errors.Is(err, objstore.ErrInUse) {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	if err == nil {
		defer closing(rt, &err)
		return do(ctx, rt)
	}
	p, err := w.attach(ctx, a, nil, err)
	if err != nil {
		return err
	}
	defer closing(p, &err)
	return do(ctx, p.operator)
}

// change opens the world to change something in it, with access to other hosts, or attaches to who
// has it open. It knows no kinds, so that nobody's method runs: what a program does with its
// messages it does itself.
func (w world) change(ctx context.Context, a *app, others peers, do func(context.Context, *place) error) error {
	return w.changeWith(ctx, a, others, func(rt *sturdy.Runtime) *place { return a.connect(rt, others, w.Dir) }, do)
}

// changeAlone is change without access to other hosts, if nobody has the world open: nothing is
// sent to them meanwhile.
func (w world) changeAlone(ctx context.Context, a *app, do func(context.Context, *place) error) error {
	return w.changeWith(ctx, a, nil, func(rt *sturdy.Runtime) *place { return &place{rt: rt} }, do)
}

func (w world) changeWith(ctx context.Context, a *app, others peers, in func(*sturdy.Runtime) *place, do func(context.Context, *place) error) (err error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	var p *place
	rt, err := w.open(a, nil, true)
	switch {
	case err == nil:
		p = in(rt)
	case errors.Is(err, objstore.ErrInUse):
		p, err = w.attach(ctx, a, others, err)
	}
	if err != nil {
		return err
	}
	defer closing(p, &err)
	return do(ctx, p)
}

// closing closes a world, or what stands on it, at the end of a command.
func closing(c io.Closer, err *error) {
	if failed := c.Close(); *err == nil {
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
