package console

import (
	"context"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	starlarkmath "go.starlark.net/lib/math"
	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Options of a Session. Runtime and Out are needed.
type Options struct {
	Runtime *sturdy.Runtime
	// Root is what root is; null: the root of Runtime or, with Away, nothing.
	Root caps.Ref
	// It is what it is; null: nothing.
	It caps.Ref
	// Operator is the running host that the session is attached to; nil: to none.
	Operator *rpc.Operator
	// World is what is looked into; nil: that of Operator or, without one, of Runtime.
	World look.World
	// Away is set if Runtime is there to reach objects elsewhere and has none of its own. It
	// says how to do what needs the files of their world.
	Away string
	// Connected: Runtime reaches other hosts, those of Peers at the address there.
	Connected bool
	Peers     map[string]string
	// Node is what it reaches them with, and foreign programs; nil: it reaches none.
	Node *rpc.Node

	Out      io.Writer
	Writable bool   // writes are let through to the world
	Writing  string // the command line that would let them through; in the error that refuses one
	Silent   bool   // values of expressions are not printed
	Timing   bool   // say after each input how many turns it took and how long
	Screen   bool   // Out is a terminal that somebody looks at: watch draws over what it drew
	Width    int    // columns of a line; 0: 100
	Steps    uint64 // of Starlark that one input may take; 0: a thousand million
}

// Session is one conversation with a world. It is not safe for concurrent use.
type Session struct {
	Options
	globals starlark.StringDict
	verbs   []verb

	flow
	// crowd is held by whoever runs Starlark within each; nil: nothing runs beside it.
	crowd *sync.Mutex
	// statements counts those that began to run.
	statements int
	// patience is what is left for what the picture that is drawn asks of other hosts.
	patience look.Patience
	// last is the value of the last statement that ran; nil: it had none.
	last starlark.Value
	// pause waits between two pictures of a watch.
	pause func(context.Context, time.Duration) error
	// seenEnough: the running input was a watch, and was interrupted.
	seenEnough bool
}

// effects are what the running input has done so far.
type effects struct {
	turns int           // write turns that are over and took effect
	wrote bool          // the turn under way has called what writes
	spent time.Duration // in those turns
	// undone: the last turn was one that failed, so nothing of it happened.
	undone bool
	acted  int // calls of what acts outside, in no turn
	// unsure: the last call was one of those and failed, after what it may have done.
	unsure bool
}

// New begins a session at the world's root.
func New(o Options) *Session {
	if o.Width == 0 {
		o.Width = 100
	}
	if o.Steps == 0 {
		o.Steps = 1e9
	}
	s := &Session{Options: o, flow: flow{ctx: context.Background()}, pause: pause}
	s.verbs = s.allVerbs()
	s.globals = starlark.StringDict{
		"time": starlarktime.Module,
		"math": starlarkmath.Module,
	}
	if s.World == nil {
		s.World = o.Runtime
		if o.Operator != nil {
			s.World = o.Operator
		}
	}
	if s.Root.IsNull() && (s.Away == "" || o.Operator != nil) {
		s.Root = s.World.Root().Ref
	}
	for name, ref := range map[string]caps.Ref{"root": s.Root, "it": s.It} {
		if !ref.IsNull() {
			s.globals[name] = s.ref(ref)
		}
	}
	for _, v := range s.verbs {
		s.globals[v.name] = starlark.NewBuiltin(v.name, s.here(v))
	}
	return s
}

// Run runs src, one statement after the other, and prints the value of each that is an
// expression. At the first error it stops: variables are then as they were before, and what
// is said of the world is in the error, a *Failure. name is what src is called in errors.
func (s *Session) Run(ctx context.Context, name, src string) error {
	s.effects, s.stopped, s.seenEnough = effects{}, nil, false
	f, err := options().Parse(name, src, 0)
	if err != nil {
		return s.failure(err)
	}
	began, before := time.Now(), maps.Clone(s.globals)
	for _, stmt := range f.Stmts {
		if err := s.statement(ctx, name, stmt); err != nil && !s.seenEnough {
			failure := s.failure(err)
			if failure.Line == 0 {
				start, _ := stmt.Span()
				failure.Line = int(start.Line)
			}
			s.globals = before
			return failure
		}
		if s.seenEnough {
			break
		}
	}
	s.report(time.Since(began))
	return nil
}

// statement runs one statement; the value of an expression is printed and kept as _.
func (s *Session) statement(ctx context.Context, name string, stmt syntax.Stmt) error {
	thread := s.thread(name)
	defer context.AfterFunc(ctx, func() { thread.Cancel(interrupted) })()
	s.ctx, s.running, s.stopped, s.last = ctx, thread, nil, nil
	s.statements++
	defer func() { s.ctx, s.running = context.Background(), nil }()
	expr, ok := stmt.(*syntax.ExprStmt)
	if !ok {
		f := &syntax.File{Path: name, Stmts: []syntax.Stmt{stmt}, Options: options()}
		return starlark.ExecREPLChunk(f, thread, s.globals)
	}
	v, err := starlark.EvalExprOptions(options(), thread, expr.X, s.globals)
	if err == nil {
		err = s.stopped
	}
	if err != nil {
		return err
	}
	if s.last = v; v == starlark.None || s.Silent {
		return nil
	}
	s.globals["_"] = v
	shown, err := s.show(v)
	if err != nil {
		return err
	}
	if shown != "" {
		fmt.Fprintln(s.Out, shown)
	}
	return nil
}

func (s *Session) thread(name string) *starlark.Thread {
	t := &starlark.Thread{Name: name, Print: func(_ *starlark.Thread, msg string) {
		fmt.Fprintln(s.Out, text.Clean(msg))
	}}
	t.SetMaxExecutionSteps(s.Steps)
	t.OnMaxSteps = func(t *starlark.Thread) {
		t.Cancel(fmt.Sprintf("stopped after %s; --steps allows more", text.Count(int64(s.Steps), "step")))
	}
	return t
}

// interrupted is why a thread was cancelled, if it was from outside.
const interrupted = "interrupted"

// stop ends the running statement with err, from where no error can be returned.
func (s *Session) stop(err error) {
	if s.stopped == nil {
		s.stopped = err
	}
	if s.running != nil {
		s.running.Cancel(err.Error())
	}
}

// slow is from which duration on it is worth saying how long something took.
const slow = 20 * time.Millisecond

// report says what an input came to, where somebody looks on.
func (s *Session) report(took time.Duration) {
	switch {
	case !s.Timing:
	case s.turns > 0:
		fmt.Fprintf(s.Out, "%s, on disk after %s\n", text.Count(int64(s.turns), "turn"), text.Took(s.spent))
	case took >= slow:
		fmt.Fprintf(s.Out, "(%s)\n", text.Took(took))
	}
}

// writing runs what writes, and counts it.
func (s *Session) writing(what string, run func() error) error {
	if !s.Writable {
		return fmt.Errorf("%s writes, and this session only reads. To write, start it with: %s", what, s.Writing)
	}
	if s.inTurn {
		s.wrote = true
		return run()
	}
	return s.timed(func() error {
		s.wrote = true
		return run()
	})
}

// acting runs what needs x: it acts outside, in no turn, so it is counted as none, and no
// error says that nothing of it happened. Inside a turn it is for the object to refuse it.
func (s *Session) acting(what string, run func() error) error {
	switch {
	case !s.Writable:
		return fmt.Errorf("%s needs x: it acts outside or starts a thread, and this session only reads. To let it, start it with: %s", what, s.Writing)
	case s.inTurn:
		s.wrote = true
		return run()
	}
	err := run()
	s.acted++
	s.undone, s.unsure = false, err != nil
	return err
}

// timed runs one turn, and counts it if it wrote.
func (s *Session) timed(turn func() error) error {
	began := time.Now()
	err := turn()
	s.undone, s.unsure = err != nil, false
	if err == nil && s.wrote {
		s.turns++
		s.spent += time.Since(began)
	}
	s.wrote = s.wrote && s.inTurn
	return err
}

// describe describes the object of ref, as the running turn sees it. Which kinds are known here
// does not matter for an object elsewhere: its host calls it.
func (s *Session) describe(ref caps.Ref) (sturdy.ObjectInfo, error) {
	if info, ok := s.ofForeign(ref); ok {
		return info, nil
	}
	info, err := s.asking("describe", ref, func(ctx context.Context) (sturdy.ObjectInfo, error) { return s.Runtime.Describe(ctx, ref) })
	if err == nil && elsewhere(info) {
		info.Kind.Known = true
	}
	return info, err
}
