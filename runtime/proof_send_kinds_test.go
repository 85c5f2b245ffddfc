package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// An agent sends, and is told. What it is told of, and what it is sent, it keeps as lines.
type agent struct {
	Ref   caps.Ref
	Lines []string
}

// errand is what an agent is asked to send: the lines, to To, one message each.
type errand struct {
	To    caps.Ref
	Lines []string
}

const (
	agKeep  caps.Command[caps.Ref]                = "keep"  // keeps a Ref
	agGive  caps.Query[caps.Ref]                  = "give"  // returns it
	agSend  caps.Command[errand]                  = "send"  // sends notes
	agAhead caps.Method[caps.Done, caps.Ref]      = "ahead" // sends give to its Ref, and returns the promise
	agNote  caps.Command[string]                  = "note"  // adds a line, if it is not empty
	agTold  caps.Command[caps.Outcome[int64]]     = "told"  // adds a line: the outcome
	agShown caps.Command[caps.Outcome[caps.Ref]]  = "shown" // keeps the Ref that it is told of
	agLarge caps.Method[int64, []byte]            = "large" // returns so many bytes
	agBytes caps.Command[caps.Outcome[[]byte]]    = "bytes" // adds a line: how many bytes
	agDone  caps.Command[caps.Outcome[caps.Done]] = "done"  // adds a line: the outcome
	agLines caps.Query[[]string]                  = "lines"
)

func (a *agent) keep(_ *sturdy.WriteTurn, r caps.Ref) error { a.Ref = r; return nil }
func (a *agent) give(*sturdy.ReadTurn) (caps.Ref, error)    { return a.Ref, nil }
func (a *agent) lines(*sturdy.ReadTurn) ([]string, error)   { return a.Lines, nil }
func (a *agent) note(_ *sturdy.WriteTurn, line string) error {
	if line != "" {
		a.Lines = append(a.Lines, line)
	}
	return nil
}
func (a *agent) large(_ *sturdy.WriteTurn, n int64) ([]byte, error) { return make([]byte, n), nil }

func (a *agent) send(t *sturdy.WriteTurn, e errand) error {
	for _, line := range e.Lines {
		agNote.Send(t, e.To, line)
	}
	return nil
}

func (a *agent) ahead(t *sturdy.WriteTurn, _ caps.Done) (caps.Ref, error) {
	return agGive.Send(t, a.Ref).Ref(), nil
}

func (a *agent) told(t *sturdy.WriteTurn, o caps.Outcome[int64]) error {
	return a.note(t, outcomeLine(o.Value, o.Err))
}

func (a *agent) bytes(t *sturdy.WriteTurn, o caps.Outcome[[]byte]) error {
	return a.note(t, outcomeLine(len(o.Value), o.Err))
}

func (a *agent) done(t *sturdy.WriteTurn, o caps.Outcome[caps.Done]) error {
	return a.note(t, outcomeLine("done", o.Err))
}

func (a *agent) shown(t *sturdy.WriteTurn, o caps.Outcome[caps.Ref]) error {
	a.Ref = o.Value
	return a.note(t, outcomeLine("a reference", o.Err))
}

func outcomeLine(value any, err *caps.Error) string {
	if err != nil {
		return "error " + string(err.Code)
	}
	return fmt.Sprint(value)
}

func agentParts() []sturdy.Part[agent] {
	return []sturdy.Part[agent]{
		sturdy.Command(agKeep, (*agent).keep),
		sturdy.Query(agGive, (*agent).give),
		sturdy.Command(agSend, (*agent).send),
		sturdy.Method(agAhead, (*agent).ahead),
		sturdy.Command(agNote, (*agent).note),
		sturdy.Command(agTold, (*agent).told),
		sturdy.Command(agShown, (*agent).shown),
		sturdy.Method(agLarge, (*agent).large),
		sturdy.Command(agBytes, (*agent).bytes),
		sturdy.Command(agDone, (*agent).done),
		sturdy.Query(agLines, (*agent).lines),
	}
}

var (
	agentKind = sturdy.Define("proof/agent", agentParts()...)
	// lateKind is an agent of a kind that some programs do not know.
	lateKind = sturdy.Define("proof/late", agentParts()...)
)

// post is a world of agents, with objects by name.
type post struct {
	*runtimetest.World
	t *testing.T
}

func newPost(t *testing.T) *post {
	t.Helper()
	return &post{runtimetest.Open(t, agentKind, lateKind, accountKind), t}
}

// fastPost runs each turn once.
func fastPost(t *testing.T) *post {
	t.Helper()
	return &post{unchecked(t, agentKind, lateKind, accountKind), t}
}

// without opens the world with a program that does not know lateKind.
func (o *post) without() { o.t.Helper(); o.Restart(agentKind, accountKind) }

// with opens it with one that does.
func (o *post) with() { o.t.Helper(); o.Restart(agentKind, lateKind, accountKind) }

// at returns the object of that name. Its kind is told by its first letter: an account is a
// number, l is late, everything else is an agent.
func (o *post) at(name string) caps.Ref {
	o.t.Helper()
	ref, err := o.Root().Ensure(context.Background(), name, func(t *sturdy.WriteTurn) caps.Ref {
		switch {
		case strings.HasPrefix(name, "l"):
			return lateKind.New(t, agent{})
		case name[0] >= '0' && name[0] <= '9':
			return accountKind.New(t, account{})
		}
		return agentKind.New(t, agent{})
	})
	must(o.t, err)
	return ref
}

// turn runs fn as a turn that has to succeed.
func (o *post) turn(fn func(t *sturdy.WriteTurn) error) {
	o.t.Helper()
	must(o.t, o.Update(o.t.Context(), fn))
}

// put stores ref under a name.
func (o *post) put(name string, ref caps.Ref) {
	o.t.Helper()
	must(o.t, o.Root().Put(o.t.Context(), name, ref))
}

// get finds what put has stored.
func (o *post) get(name string) caps.Ref {
	o.t.Helper()
	ref, err := o.Root().Get(o.t.Context(), name)
	must(o.t, err)
	return ref
}

// reads fails the test if the lines of the agent of that name are not these.
func (o *post) reads(name string, want ...string) {
	o.t.Helper()
	got, err := agLines.Call(o.t.Context(), o.at(name))
	if err != nil || !slices.Equal(got, want) {
		o.t.Errorf("%s has %q, %v; want %q", name, got, err, want)
	}
}

// count fails the test if other than so many letters wait, and dead ones are kept.
func (o *post) count(letters, dead int) {
	o.t.Helper()
	if ls, ds := o.letters(), o.dead(); len(ls) != letters || len(ds) != dead {
		o.t.Errorf("%d letters wait, %d are dead; want %d and %d\n%+v\n%+v", len(ls), len(ds), letters, dead, ls, ds)
	}
}

func (o *post) letters() (all []sturdy.LetterInfo) {
	o.t.Helper()
	for l, err := range o.Activity().Letters(context.Background()) {
		must(o.t, err)
		all = append(all, l)
	}
	return all
}

func (o *post) dead() (all []sturdy.LetterInfo) {
	o.t.Helper()
	for l, err := range o.Activity().DeadLetters(context.Background()) {
		must(o.t, err)
		all = append(all, l)
	}
	return all
}

// patience is how long what has to come is waited for: much longer than it ever takes on a
// machine that is busy with other things.
const patience = time.Minute

// awaits is Await, for a while.
func awaits[R any](t *testing.T, p caps.Promise[R]) (R, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := p.Await(ctx)
	if errors.Is(err, sturdy.ErrTimeout) {
		t.Error("the promise comes to nothing:", err)
	}
	return r, err
}

// lines are prefix 1, prefix 2, and so on.
func lines(prefix string, from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf("%s %d", prefix, i))
	}
	return all
}

// settles runs until nothing more can run, and fails the test if that does not come.
func (o *post) settles() {
	o.t.Helper()
	_ = o.Sync(context.Background()) // it tells once what was lost
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := o.Runtime.Settle(ctx); err != nil {
		o.t.Fatal("it does not settle: ", err, strings.Join(o.held(), ", "))
	}
}

// held says why letters are not delivered.
func (o *post) held() (all []string) {
	for _, l := range o.letters()[:min(10, len(o.letters()))] {
		all = append(all, l.ID+" to "+l.To+": "+l.Held)
	}
	return all
}
