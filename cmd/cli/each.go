package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/console"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

type eachCmd struct {
	Args     []string      `arg:"" name:"SCRIPT HOST" help:"The script, unless -c is given, and the hosts: directories of worlds, sturdy refs, files with one of these in a line, or - for such lines from the standard input."`
	Code     string        `short:"c" placeholder:"EXPR" help:"What to run instead of a script."`
	Write    bool          `short:"w" help:"Let writes through."`
	Parallel int           `default:"8" help:"Hosts at once (${default})."`
	Timeout  time.Duration `default:"30s" help:"For each host, from opening it on (${default})."`
	JSON     bool          `name:"json" help:"An object of JSON for each host, in a line of its own."`
	Full     bool          `help:"Do not shorten lines."`
	Peer     peers         `placeholder:"HOST=ADDR" help:"Where another host is; may be repeated."`
	Steps    uint64        `default:"1000000000" help:"Of Starlark, that each host's run may take (${default})."`
}

// Help is what each --help says below the usage.
func (eachCmd) Help() string {
	return `The script is what repl runs. root is the root of the world or, for a sturdy ref, what that opens. A world that a program has open is reached if it listens, as with repl; one that nobody has open is opened for the time being.

  each -c 'root.hits.get()' world1 world2
  each audit.star hosts.txt

What the last expression comes to is listed, host by host: a list of structs with a line for each, anything else in one. What a script prints stands above, behind the name of its host. In a file of hosts, a line is a directory or a sturdy ref, with a name before it if a sturdy ref is to be listed by one; # begins a comment.

A host that fails keeps none of the others from it. The exit code is 1 if any did. Ctrl-C ends what runs, and lists what there is.`
}

// target is a host to run at.
type target struct {
	name  string // as it is listed
	where string // a directory, or a sturdy ref
}

func (c *eachCmd) run(ctx context.Context, a *app) error {
	src, name, args, err := c.source()
	if err != nil {
		return err
	}
	targets, err := a.targets(args)
	if err != nil {
		return err
	}
	if c.Parallel < 1 || c.Timeout <= 0 {
		return errors.New("--parallel and --timeout have to be more than zero")
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	ends := c.all(ctx, a, targets, func(ctx context.Context, t target) *end { return c.visit(ctx, a, t, name, src) })
	if c.JSON {
		err = printJSON(a.out, ends)
	} else {
		err = c.print(a, ends)
	}
	failed := 0
	for _, e := range ends {
		if e.err != nil {
			failed++
		}
	}
	if err != nil || failed == 0 {
		return err
	}
	fmt.Fprintf(a.err, "%s: %d of %s failed\n", a.name, failed, text.Count(int64(len(ends)), "host"))
	return errSaid
}

// source is what is to be run, and the arguments behind it.
func (c *eachCmd) source() (src, name string, hosts []string, err error) {
	src, name, hosts = c.Code, "-c", c.Args
	if c.Code == "" {
		name, hosts = c.Args[0], c.Args[1:]
		content, err := os.ReadFile(name)
		if err != nil {
			return "", "", nil, fmt.Errorf("the script: %w; -c EXPR runs an expression", err)
		}
		src = string(content)
	}
	if len(hosts) == 0 {
		return "", "", nil, errors.New("no host was named to run it at")
	}
	return src, name, hosts, nil
}

// end is what running at a host came to.
type end struct {
	target
	outcome console.Outcome
	printed string
	err     error
	took    time.Duration
}

// all visits every target, so many at once, in time. The ends stand in the order of the targets.
func (c *eachCmd) all(ctx context.Context, a *app, targets []target, visit func(context.Context, target) *end) []*end {
	ends := make([]*end, len(targets))
	w := newWaiting(a, targets)
	defer w.stop()
	places := make(chan struct{}, c.Parallel)
	var all sync.WaitGroup
	for i, t := range targets {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			ends[i] = &end{target: t, err: errors.New("not begun: interrupted")}
			continue
		}
		all.Go(func() {
			defer func() { <-places }()
			began := time.Now()
			w.begin(t)
			ends[i] = c.inTime(ctx, t, visit)
			ends[i].took = time.Since(began)
			w.end(t)
		})
	}
	all.Wait()
	return ends
}

// grace is how much later than asked a visit may end, before it is given up: not all that it does
// can be interrupted.
const grace = 2 * time.Second

// inTime visits one target.
func (c *eachCmd) inTime(ctx context.Context, t target, visit func(context.Context, target) *end) *end {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	came := make(chan *end, 1)
	go func() { came <- visit(ctx, t) }()
	var e *end
	select {
	case e = <-came:
	case <-ctx.Done():
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case e = <-came:
		case <-late.C:
			e = &end{target: t, err: errors.New("")}
		}
	}
	if e.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		said := ""
		if _, ran := e.err.(*console.Failure); !ran || errors.Is(e.err, caps.ErrMaybeExecuted) {
			said = e.err.Error()
		}
		e.err = &lateError{console.Late(c.Timeout, said), e.err}
	} else if ctx.Err() != nil && e.err != nil {
		e.err = &lateError{"interrupted", e.err}
	}
	return e
}

// lateError is a failure that a deadline, or an interrupt, is the cause of.
type lateError struct {
	said string
	of   error
}

func (e *lateError) Error() string { return e.said }
func (e *lateError) Unwrap() error { return e.of }

// visit runs the script at one host.
func (c *eachCmd) visit(ctx context.Context, a *app, t target, name, src string) *end {
	e := &end{target: t}
	at := replCmd{Where: t.where, Write: c.Write, Peer: c.Peer, among: true}
	p, err := at.place(ctx, a)
	if err != nil {
		e.err = err
		return e
	}
	var out bytes.Buffer
	s := console.New(console.Options{
		Runtime: p.rt, Operator: p.operator, Root: p.it, Away: p.away, Connected: p.node != nil, Node: p.node, Peers: c.Peer,
		Out: &out, Writable: c.Write, Steps: c.Steps, Silent: true, Writing: a.name + " each -w",
	})
	if e.err = s.Run(ctx, name, src); e.err == nil {
		e.outcome, e.err = s.Outcome(ctx)
	}
	e.printed = out.String()
	if err := p.Close(); e.err == nil {
		e.err = err
	}
	return e
}

// said is why a host failed, in one line, with the line of the script.
func (e *end) said(name string) string {
	f, ok := e.err.(*console.Failure)
	switch {
	case e.err == nil:
		return ""
	case ok && f.Line > 0 && name != "-c":
		return fmt.Sprintf("line %d: %s", f.Line, oneLine(e.err))
	}
	return oneLine(e.err)
}

// print lists the ends: in one table, unless they have different columns.
func (c *eachCmd) print(a *app, ends []*end) error {
	var tables []*eachTable
	for _, e := range ends {
		for line := range strings.Lines(e.printed) {
			fmt.Fprintf(a.out, "%s: %s\n", e.name, text.Line(strings.TrimRight(line, "\n")))
		}
		of := (*eachTable)(nil)
		for _, t := range tables {
			if e.err != nil || len(e.outcome.Rows) == 0 || strings.Join(t.titles, "\x00") == strings.Join(e.outcome.Titles, "\x00") {
				of = t
			}
		}
		if of == nil {
			of = &eachTable{titles: e.outcome.Titles}
			tables = append(tables, of)
		}
		of.ends = append(of.ends, e)
	}
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		fmt.Fprint(a.out, t.text(width(c.Full), c.Code != ""))
	}
	return nil
}

// eachTable is a listing of ends whose outcomes have the same columns.
type eachTable struct {
	titles []string
	ends   []*end
}

func (t *eachTable) text(width int, code bool) string {
	titles, name := []string{"RESULT"}, ""
	if len(t.titles) > 0 {
		titles = strings.Split(strings.ToUpper(strings.Join(t.titles, "\x00")), "\x00")
	}
	if code {
		name = "-c"
	}
	failed := false
	for _, e := range t.ends {
		failed = failed || e.err != nil
	}
	head := append([]string{"HOST"}, titles...)
	if failed {
		head = append(head, "ERROR")
	}
	rows := [][]string{head}
	for _, e := range t.ends {
		of := e.outcome.Rows
		if len(of) == 0 || e.err != nil {
			of = [][]string{nil}
		}
		for _, cells := range of {
			row := append([]string{text.Line(e.name)}, cells...)
			for len(row) <= len(titles) {
				row = append(row, "-")
			}
			if failed {
				row = append(row, dash(text.Line(e.said(name))))
			}
			rows = append(rows, row)
		}
	}
	return text.Table(rows, width)
}
