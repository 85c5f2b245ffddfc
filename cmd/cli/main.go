package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/alecthomas/kong"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Main is the main function of a sturdy command that knows the given kinds. It does not
// return.
func Main(kinds ...sturdy.Kind) {
	a := &app{
		name: filepath.Base(os.Args[0]), kinds: kinds,
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
	}
	os.Exit(a.main(os.Args[1:]))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is one run of the command.
type app struct {
	name     string
	kinds    []sturdy.Kind
	in       *os.File
	out, err io.Writer
}

// grammar is the command line.
type grammar struct {
	Repl    replCmd    `cmd:"" help:"Talk to the objects of a world, or run a script over them."`
	Serve   serveCmd   `cmd:"" help:"Open a world and let others reach its objects, until interrupted."`
	ID      idCmd      `cmd:"" name:"id" help:"Print the name of a world's host, by which others reach it, or its certificate."`
	Hosts   hostsCmd   `cmd:"" help:"List the other hosts that a world has met, and what waits for them."`
	Ls      lsCmd      `cmd:"" help:"List a directory or a collection of a world, or show an object."`
	Mount   mountCmd   `cmd:"" help:"Let what another host has given stand under a name of a world."`
	Unmount unmountCmd `cmd:"" help:"Take away a name under which something of another host stands."`
	Save    saveCmd    `cmd:"" help:"Print a sturdy ref: a text that opens an object of a world for others."`
	Each    eachCmd    `cmd:"" help:"Run a script over many worlds and hosts at once, and list what it came to in each."`
	Who     whoCmd     `cmd:"" help:"List who holds an object, and through which grant."`
	Grants  grantsCmd  `cmd:"" help:"List the grants of a world, or draw them as a tree."`
	Mail    mailCmd    `cmd:"" help:"List the messages of a world that wait to be delivered, or end the waiting for a host that is gone."`
	Timers  timersCmd  `cmd:"" help:"List the messages of a world that wait for their time."`
	Dead    deadCmd    `cmd:"" help:"List the messages that could not be delivered; send one again, or forget it."`
	Ps      psCmd      `cmd:"" help:"List the threads of a world that have not ended, and why some do not go on."`
	Check   checkCmd   `cmd:"" help:"Verify everything a world has on disk."`
	Dump    dumpCmd    `cmd:"" help:"Print every object of a world, a line each."`
	Kinds   kindsCmd   `cmd:"" help:"List the kinds of objects in a world, and their methods."`
	Schema  schemaCmd  `cmd:"" help:"Print the Cap'n Proto schema of a world's kinds, for programs in other languages."`
	Adopt   adoptCmd   `cmd:"" help:"Make a copy of a world honour the sturdy refs of the original."`
	Version versionCmd `cmd:"" help:"Print the version of this command."`
}

// command is a subcommand, parsed.
type command interface {
	run(ctx context.Context, a *app) error
}

// exit is how --help ends the parsing.
type exit int

func (a *app) main(args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(exit)
			if !ok {
				panic(p)
			}
			code = int(e)
		}
	}()
	var g grammar
	parser, err := kong.New(&g,
		kong.Name(a.name),
		kong.Description("Sturdy keeps a program's objects on disk. This command looks into the world that they are in: DIR, the directory that was given to sturdy.Open."),
		kong.Writers(a.out, a.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return a.fail(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(a.err, "%s: %v\n%s --help lists the commands, %s COMMAND --help explains one.\n", a.name, err, a.name, a.name)
		return exitUsage
	}
	if err := parsed.Selected().Target.Addr().Interface().(command).run(context.Background(), a); err != nil {
		return a.fail(err)
	}
	return exitOK
}

// errSaid is the error of a command that has printed what is wrong.
var errSaid = errors.New("failed")

// fail prints err and what to do about it.
func (a *app) fail(err error) int {
	if !errors.Is(err, errSaid) {
		fmt.Fprintf(a.err, "%s: %s\n", a.name, explain(err, a.name))
	}
	return exitFailed
}

// interruptible returns a context that Ctrl-C ends. A second Ctrl-C ends the process: by
// then there may be something that does not look at its context.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	presses, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(presses, os.Interrupt)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-presses:
			}
			if n > 0 {
				os.Exit(exitFailed)
			}
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(presses)
		close(done)
		cancel()
	}
}
