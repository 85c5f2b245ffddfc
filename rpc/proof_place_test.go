package rpc_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// The differential proof: one list of steps is done to a desk here, to one behind a hop and to
// one behind two. What each step says has to be the same.

const (
	noteTold caps.Command[caps.Outcome[int64]] = "told"
	noteRead caps.Query[string]                = "read"
)

// note is told what a promise came to.
type note struct{ Text string }

func (n *note) told(_ *sturdy.WriteTurn, o caps.Outcome[int64]) error {
	n.Text = fmt.Sprint("told ", o.Value, " ", codeOf(errOf(o.Err)))
	return nil
}

func (n *note) read(*sturdy.ReadTurn) (string, error) { return n.Text, nil }

// errOf keeps a nil *caps.Error from becoming an error that is none.
func errOf(e *caps.Error) error {
	if e == nil {
		return nil
	}
	return e
}

var noteKind = sturdy.Define("test.example/note", sturdy.Command(noteTold, (*note).told), sturdy.Query(noteRead, (*note).read))

// place is a desk as its caller holds it, and who the caller is.
type place struct {
	t      *testing.T
	home   *site // of the desk
	caller *site
	rt     *sturdy.Runtime // the caller's
	desk   caps.Ref        // somewhere
	mine   caps.Ref        // the caller's own desk
	note   caps.Ref        // the caller's own note
	owned  sturdy.Grant    // of the desk's owner, through which desk came
	kept   map[string]caps.Ref
	grant  map[string]sturdy.Grant
}

func (p *place) ctx() context.Context { return within(p.t, 10*time.Second) }

// codeOf is an error as programs see it.
func codeOf(err error) string {
	var e *caps.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return cmp.Or(string(e.Code), "no code")
	}
	return err.Error()
}

func sayInt(n int64, err error) string { return fmt.Sprint(n, " ", codeOf(err)) }

// say is what there is to know of a Ref, apart from where it leads.
func (p *place) say(name string, r caps.Ref, err error) string {
	p.kept[name] = r
	return fmt.Sprint(r.IsNull(), " ", r.Rights(), " ", codeOf(err))
}

func (p *place) add(r caps.Ref, n int64) string {
	got, err := deskAdd.Call(p.ctx(), r, n)
	return sayInt(got, err)
}

// give grants the desk, or what was kept, to somebody at the caller's host.
func (p *place) give(name string, r caps.Ref, terms caps.Terms) string {
	err := p.rt.Update(p.ctx(), func(t *sturdy.WriteTurn) error {
		p.kept[name], p.grant[name] = t.Grant(r, terms)
		return nil
	})
	return codeOf(err)
}

func (p *place) makes(name string, from caps.Ref) string {
	r, err := deskMake.Call(p.ctx(), from, 10)
	return p.say(name, r, err)
}

func (p *place) gets(name string, from caps.Ref) string {
	r, err := deskGet.Call(p.ctx(), from)
	return p.say(name, r, err)
}

// relinked makes a call that says nothing, so that what follows has a link that works. A call
// that finds its link broken is made again over another, and what was begun on its result was
// then not made: true, and not what is compared here.
func (p *place) relinked() { _ = caps.Action("none").Call(p.ctx(), p.desk) }

// climbs is what calls of results that are not known yet come to: of what from makes, of what it
// has, and of that with no more than the right to read.
func (p *place) climbs(from caps.Ref) string {
	p.relinked()
	made, held := deskMake.Begin(p.ctx(), from, 10), deskGet.Begin(p.ctx(), from)
	weak := held.Ref().Attenuate(caps.Read | caps.Shallow)
	var said []string
	for _, sum := range []caps.Promise[int64]{
		deskAdd.Begin(p.ctx(), made.Ref(), 1), deskAdd.Begin(p.ctx(), held.Ref(), 0), deskAdd.Begin(p.ctx(), weak, 0),
	} {
		n, err := sum.Await(p.ctx())
		text := sayInt(n, err)
		var e *caps.Error
		if errors.As(err, &e) && e.Code == caps.ErrNotDelivered {
			text += " because of " + string(e.Cause)
		}
		said = append(said, text)
	}
	return strings.Join(said, ", ")
}

// step is one line of the table.
type step struct {
	name string
	do   func(p *place) string
	want string // where it is known; empty: what the desk here says
}

func placeSteps() []step {
	ask := func(p *place, r caps.Ref) string {
		n, err := deskAsk.Call(p.ctx(), p.desk, r)
		return sayInt(n, err)
	}
	return []step{
		{"a typed call", func(p *place) string { return p.add(p.desk, 2) }, "2 ok"},
		{"another", func(p *place) string { return p.add(p.desk, 3) }, "5 ok"},
		{"an error of the method", func(p *place) string { return codeOf(deskFail.Call(p.ctx(), p.desk)) }, string(errCross)},
		{"its text", func(p *place) string {
			var e *caps.Error
			_ = errors.As(deskFail.Call(p.ctx(), p.desk), &e)
			return e.Text
		}, "very cross"},
		{"no such method", func(p *place) string { return codeOf(caps.Action("none").Call(p.ctx(), p.desk)) }, string(caps.ErrNoMethod)},
		{"a wrong argument", func(p *place) string {
			return codeOf(caps.Command[string]("add").Call(p.ctx(), p.desk, "x"))
		}, ""},
		{"a wrong result", func(p *place) string {
			_, err := caps.Method[int64, string]("add").Call(p.ctx(), p.desk, 0)
			return codeOf(err)
		}, ""},
		{"an object as result", func(p *place) string { return p.makes("made", p.desk) }, ""},
		{"which is called", func(p *place) string { return p.add(p.kept["made"], 1) }, "11 ok"},
		{"an object as argument", func(p *place) string { return codeOf(deskPut.Call(p.ctx(), p.desk, p.mine)) }, "ok"},
		{"which comes back", func(p *place) string { return p.gets("back", p.desk) }, ""},
		{"the same", func(p *place) string { return fmt.Sprint(p.kept["back"].Same(p.mine)) }, "true"},
		{"and works", func(p *place) string { return p.add(p.kept["back"], 1) }, "1 ok"},
		{"its own into itself", func(p *place) string { return codeOf(deskPut.Call(p.ctx(), p.desk, p.desk)) }, "ok"},
		{"which comes back, too", func(p *place) string { return p.gets("self", p.desk) }, ""},
		{"and is the desk", func(p *place) string { return p.add(p.kept["self"], 0) }, "5 ok"},
		{"a callback", func(p *place) string { return ask(p, p.mine) }, "2 ok"},
		{"a callback to itself", func(p *place) string { return ask(p, p.desk) }, "6 ok"},
		{"a callback to null", func(p *place) string { return ask(p, caps.Ref{}) }, string("0 " + caps.ErrNull)},
		{"a callback that may not", func(p *place) string { return ask(p, p.mine.Attenuate(caps.Read)) }, string("0 " + caps.ErrNoRight)},
		{"null into it", func(p *place) string { return codeOf(deskPut.Call(p.ctx(), p.desk, caps.Ref{})) }, "ok"},
		{"and out of it", func(p *place) string { return p.gets("null", p.desk) }, ""},

		{"with fewer rights", func(p *place) string { return p.add(p.desk.Attenuate(caps.Read|caps.Shallow), 1) }, string("0 " + caps.ErrNoRight)},
		{"put it back", func(p *place) string { return codeOf(deskPut.Call(p.ctx(), p.desk, p.mine)) }, "ok"},
		{"shallow: what comes out", func(p *place) string { return p.gets("shallow", p.desk.Attenuate(caps.Read|caps.Shallow)) }, ""},
		{"is not weaker", func(p *place) string { return p.add(p.kept["shallow"], 1) }, "3 ok"},
		{"deep: what comes out", func(p *place) string { return p.gets("deep", p.desk.Attenuate(caps.Read)) }, ""},
		{"is weaker", func(p *place) string { return p.add(p.kept["deep"], 1) }, string("0 " + caps.ErrNoRight)},
		{"begun, and what comes out", func(p *place) string { return p.climbs(p.desk) }, "11 ok, 3 ok, 0 no right"},
		{"begun, shallow", func(p *place) string { return p.climbs(p.desk.Attenuate(caps.Read | caps.Shallow)) }, "0 not delivered because of no right, 3 ok, 0 no right"},
		{"begun, deep", func(p *place) string { return p.climbs(p.desk.Attenuate(caps.Read)) }, "0 not delivered because of no right, 0 no right, 0 no right"},
		{"begun, and its own", func(p *place) string {
			p.relinked()
			self := deskMake.Begin(p.ctx(), p.desk, 1)
			n, err := deskAsk.Begin(p.ctx(), p.desk, self.Ref()).Await(p.ctx())
			return sayInt(n, err)
		}, "2 ok"},

		{"a grant of one method", func(p *place) string {
			return p.give("only", p.desk, caps.Terms{For: "x", Only: []caps.Named{deskAdd}})
		}, "ok"},
		{"which is allowed", func(p *place) string { return p.add(p.kept["only"], 1) }, "7 ok"},
		{"others are not", func(p *place) string { return codeOf(deskFail.Call(p.ctx(), p.kept["only"])) }, string(caps.ErrNoMethod)},
		{"begun through it", func(p *place) string { return p.climbs(p.kept["only"]) }, ""},
		{"revoked", func(p *place) string { return codeOf(p.grant["only"].Revoke(p.ctx())) }, "ok"},
		{"refused", func(p *place) string { return p.add(p.kept["only"], 1) }, string("0 " + caps.ErrRevoked)},
		{"a grant that has run out", func(p *place) string {
			return p.give("late", p.desk, caps.Terms{For: "x", Until: time.Now().Add(30 * time.Millisecond)})
		}, "ok"},
		{"in the end", func(p *place) string {
			for {
				if _, err := deskAdd.Call(p.ctx(), p.kept["late"], 0); err != nil {
					return codeOf(err)
				}
			}
		}, string(caps.ErrRevoked)},
		{"a shallow grant", func(p *place) string { return p.give("flat", p.desk, caps.Terms{For: "x"}) }, "ok"},
		{"and what came through", func(p *place) string { return p.makes("flat made", p.kept["flat"]) }, ""},
		{"begun through that", func(p *place) string { return p.climbs(p.kept["flat"]) }, "11 ok, 3 ok, 0 no right"},
		{"a membrane", func(p *place) string { return p.give("skin", p.desk, caps.Terms{For: "x", Deep: true}) }, "ok"},
		{"and what came through it", func(p *place) string { return p.makes("skin made", p.kept["skin"]) }, ""},
		{"in through the membrane", func(p *place) string { return codeOf(deskPut.Call(p.ctx(), p.kept["skin"], p.mine)) }, "ok"},
		{"and out again", func(p *place) string { return p.gets("skin back", p.kept["skin"]) }, ""},
		{"works", func(p *place) string { return p.add(p.kept["skin back"], 1) }, ""},
		{"begun through the membrane", func(p *place) string { return p.climbs(p.kept["skin"]) }, ""},
		{"a callback through it", func(p *place) string {
			n, err := deskAsk.Call(p.ctx(), p.kept["skin"], p.mine)
			return sayInt(n, err)
		}, ""},
		{"the grant is revoked", func(p *place) string { return codeOf(p.grant["flat"].Revoke(p.ctx())) }, "ok"},
		{"what came through works", func(p *place) string { return p.add(p.kept["flat made"], 1) }, "11 ok"},
		{"the membrane is revoked", func(p *place) string { return codeOf(p.grant["skin"].Revoke(p.ctx())) }, "ok"},
		{"what came through it does not", func(p *place) string { return p.add(p.kept["skin made"], 1) }, string("0 " + caps.ErrRevoked)},
		{"begun through what is revoked", func(p *place) string { return p.climbs(p.kept["skin"]) }, ""},
		{"nor what the desk got through it", func(p *place) string {
			if got := p.gets("skin held", p.desk); got == "" {
				return got
			}
			return p.add(p.kept["skin held"], 1)
		}, ""},

		{"a sturdy ref of it", func(p *place) string {
			s, g, err := p.rt.Save(p.ctx(), p.desk, caps.Terms{For: "y"})
			must(p.t, err)
			p.grant["saved"] = g
			r, err := p.rt.Restore(p.ctx(), s.Attenuate(caps.Read|caps.Write))
			return p.say("saved", r, err)
		}, ""},
		{"opens", func(p *place) string { return p.add(p.kept["saved"], 1) }, "8 ok"},
		{"until it is revoked", func(p *place) string {
			must(p.t, p.grant["saved"].Revoke(p.ctx()))
			return p.add(p.kept["saved"], 1)
		}, string("0 " + caps.ErrRevoked)},

		{"a send", func(p *place) string { return sayInt(deskAdd.Send(p.ctx(), p.desk, 1).Await(p.ctx())) }, "9 ok"},
		{"a send that fails", func(p *place) string {
			_, err := deskFail.Send(p.ctx(), p.desk).Await(p.ctx())
			return codeOf(err)
		}, string(errCross)},
		{"a send to no method", func(p *place) string {
			_, err := caps.Action("none").Send(p.ctx(), p.desk).Await(p.ctx())
			return codeOf(err)
		}, string(caps.ErrNoMethod)},
		{"a send without the right", func(p *place) string {
			_, err := deskAdd.Send(p.ctx(), p.desk.Attenuate(caps.Read|caps.Shallow), 1).Await(p.ctx())
			return codeOf(err)
		}, string(caps.ErrNoRight)},
		{"a send to a deep one", func(p *place) string {
			_, err := deskAdd.Send(p.ctx(), p.desk.Attenuate(caps.Read), 1).Await(p.ctx())
			return codeOf(err)
		}, string(caps.ErrNoRight)},
		{"a send through what is revoked", func(p *place) string {
			_, err := deskAdd.Send(p.ctx(), p.kept["only"], 1).Await(p.ctx())
			return codeOf(err)
		}, string(caps.ErrRevoked)},
		{"a send with an object", func(p *place) string {
			_, err := deskPut.Send(p.ctx(), p.desk, p.mine).Await(p.ctx())
			return codeOf(err)
		}, "ok"},
		{"which is there", func(p *place) string {
			if got := p.gets("sent", p.desk); p.kept["sent"].Same(p.mine) {
				return got
			}
			return "another"
		}, ""},
		{"a promise called", func(p *place) string { return p.add(deskMake.Send(p.ctx(), p.desk, 3).Ref(), 1) }, "4 ok"},
		{"a promise sent to", func(p *place) string {
			return sayInt(deskAdd.Send(p.ctx(), deskMake.Send(p.ctx(), p.desk, 4).Ref(), 1).Await(p.ctx()))
		}, "5 ok"},
		{"a promise as argument", func(p *place) string {
			n, err := deskAsk.Call(p.ctx(), p.desk, deskMake.Send(p.ctx(), p.desk, 5).Ref())
			return sayInt(n, err)
		}, "6 ok"},
		{"then", func(p *place) string {
			must(p.t, deskAdd.Send(p.ctx(), p.desk, 1).Then(p.ctx(), p.note, noteTold))
			return p.told("")
		}, "told 10 ok"},
		{"then of one that fails", func(p *place) string {
			must(p.t, caps.Method[int64, int64]("fail").Send(p.ctx(), p.desk, 1).Then(p.ctx(), p.note, noteTold))
			return p.told("told 10 ok")
		}, ""},
		{"described", func(p *place) string {
			info, err := p.rt.Describe(p.ctx(), p.desk)
			return fmt.Sprint(info.Kind.Name, info.Kind.Version, info.Kind.Methods, info.Rights.Rights, info.Allows, codeOf(err))
		}, ""},

		{"the owner revokes", func(p *place) string { return codeOf(p.owned.Revoke(p.ctx())) }, "ok"},
		{"calls end", func(p *place) string { return p.add(p.desk, 1) }, string("0 " + caps.ErrRevoked)},
		{"sends end", func(p *place) string { return sayInt(deskAdd.Send(p.ctx(), p.desk, 1).Await(p.ctx())) }, string("0 " + caps.ErrRevoked)},
		{"what was made stays", func(p *place) string { return p.add(p.kept["made"], 1) }, "12 ok"},
	}
}

// told waits until the note says something else than was.
func (p *place) told(was string) string {
	for ctx := p.ctx(); ctx.Err() == nil; {
		s, err := noteRead.Call(ctx, p.note)
		must(p.t, err)
		if s != was {
			return s
		}
	}
	return "never told"
}

// site is a world in a directory with its Node; it ends with the test, and can be restarted.
type site struct {
	t    *testing.T
	dir  string
	o    rpc.Options
	rt   *sturdy.Runtime
	node *rpc.Node
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "w"), o: rpc.Options{Listen: "127.0.0.1:0"}}
	s.open()
	t.Cleanup(s.close)
	return s
}

func (s *site) open() {
	s.t.Helper()
	var err error
	s.rt, err = sturdy.Open(s.dir, deskKind, drawerKind, noteKind)
	must(s.t, err)
	s.node, err = rpc.Attach(s.rt, s.o)
	must(s.t, err)
	s.o.Listen = s.node.Address() // the same when it is opened again
}

func (s *site) close() {
	s.t.Helper()
	must(s.t, errors.Join(s.node.Close(), s.rt.Close()))
}

// behind makes a place for a caller who is so many hops away from the desk.
func behind(t *testing.T, hops int) *place {
	p := &place{t: t, kept: map[string]caps.Ref{}, grant: map[string]sturdy.Grant{}, home: newSite(t)}
	p.caller, p.rt = p.home, p.home.rt
	made, err := p.rt.Root().Ensure(t.Context(), "desk", func(t *sturdy.WriteTurn) caps.Ref { return deskKind.New(t, desk{}) })
	must(t, err)
	s, g, err := p.rt.Save(t.Context(), made, caps.Terms{For: "the first"})
	must(t, err)
	p.owned = g
	p.desk, err = p.rt.Restore(t.Context(), s)
	must(t, err)
	for range hops {
		before := p.rt
		p.caller = newSite(t)
		p.rt = p.caller.rt
		s, _, err := before.Save(t.Context(), p.desk, caps.Terms{For: "the next"})
		must(t, err)
		p.desk, err = p.rt.Restore(t.Context(), s)
		must(t, err)
	}
	p.mine, err = p.rt.Root().Ensure(t.Context(), "mine", func(t *sturdy.WriteTurn) caps.Ref { return deskKind.New(t, desk{}) })
	must(t, err)
	p.note, err = p.rt.Root().Ensure(t.Context(), "note", func(t *sturdy.WriteTurn) caps.Ref { return noteKind.New(t, note{}) })
	must(t, err)
	return p
}

// restartHome restarts the world of the desk. Its caller does not hear of it.
func (p *place) restartHome() {
	info, err := p.owned.Info(p.ctx())
	must(p.t, err)
	p.home.close()
	p.home.open()
	p.owned, err = p.home.rt.GrantByID(p.ctx(), info.ID)
	must(p.t, err)
}

// restartCaller restarts the world of the caller, who has put all that he holds into its root.
func (p *place) restartCaller() {
	const deskName = "the desk"
	p.kept[deskName] = p.desk
	ids := map[string]string{}
	for name, g := range p.grant {
		info, err := g.Info(p.ctx())
		must(p.t, err)
		ids[name] = info.ID
	}
	must(p.t, p.rt.Update(p.ctx(), func(t *sturdy.WriteTurn) error {
		for name, r := range p.kept {
			if !r.IsNull() {
				must(p.t, p.rt.Root().Put(t, "kept "+name, r))
			}
		}
		return nil
	}))
	p.caller.close()
	p.caller.open()
	p.rt = p.caller.rt
	get := func(name string) caps.Ref {
		r, err := p.rt.Root().Get(p.ctx(), name)
		must(p.t, err)
		return r
	}
	for name, r := range p.kept {
		if !r.IsNull() {
			p.kept[name] = get("kept " + name)
		}
	}
	p.mine, p.note, p.desk = get("mine"), get("note"), p.kept[deskName]
	for name, id := range ids {
		g, err := p.rt.GrantByID(p.ctx(), id)
		must(p.t, err)
		p.grant[name] = g
	}
}

func TestAnObjectSaysTheSameHereAndElsewhere(t *testing.T) {
	here := behind(t, 0)
	places := []struct {
		name   string
		p      *place
		before func(*place) // before each step
	}{
		{"behind one hop", behind(t, 1), func(*place) {}},
		{"behind two hops", behind(t, 2), func(*place) {}},
		{"at a host that is restarted before each step", behind(t, 1), (*place).restartHome},
		{"from a host that is restarted before each step", behind(t, 1), (*place).restartCaller},
	}
	for _, s := range placeSteps() {
		want := s.do(here)
		if s.want != "" && want != s.want {
			t.Errorf("%s, here: %s; want %s", s.name, want, s.want)
		}
		for _, at := range places {
			at.before(at.p)
			if got := s.do(at.p); got != want {
				t.Errorf("%s, %s: %s; here: %s", s.name, at.name, got, want)
			}
		}
	}
}
