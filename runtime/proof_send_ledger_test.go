package sturdy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// The ledger proof. Clerks send items to desks; each notes what it has sent in the turn that
// sends it, and each desk notes what it has got in the turn that gets it. Whatever crashed
// meanwhile, what was sent and what was got then tell what must wait and what must be dead.

const (
	clerks = 4
	chosen = "\x00to" // the names of the desks begin with it
)

// desks are what clerks send to, and what becomes of the nth item that somebody sends there.
var desks = []struct {
	name string
	fate func(seq int64) string
}{
	{"good", func(int64) string { return "got" }},
	{"good, too", func(int64) string { return "got" }},
	{"fails", func(n int64) string { return either(n%2 == 0, "got", "failed") }},
	{"panics", func(n int64) string { return either(n%3 == 0, "failed", "got") }},
	{"unknown", func(int64) string { return "waits" }},
	{"promise", func(int64) string { return "waits" }}, // of an object that the unknown one has
	{"revoked", refused},
	{"gone method", refused},
}

// refused is the fate of what is not let in: it is kept as a dead letter, unless somebody is
// told by a Then, see clerk.send.
func refused(n int64) string { return either(n%3 == 0, "told", "dead") }

func either(ok bool, a, b string) string {
	if ok {
		return a
	}
	return b
}

// item is what is sent: the seq-th of a clerk to a desk.
type item struct{ Clerk, Desk, Seq int64 }

// desk is a receiver: it fails and panics as its name says.
type desk struct {
	Name string
	Got  sturdy.List[item]
	Ref  caps.Ref
}

const (
	deTake caps.Command[item]                    = "take"
	deGive caps.Query[caps.Ref]                  = "give"
	deTold caps.Command[caps.Outcome[caps.Done]] = "told" // counts what came to what
	deNone caps.Command[item]                    = "none" // no desk has it
	clSend caps.Command[order]                   = "send"
)

func (d *desk) take(t *sturdy.WriteTurn, i item) error {
	d.Got.Append(t, i)
	switch {
	case d.Name == "fails" && i.Seq%2 == 1:
		return errMess
	case d.Name == "panics" && i.Seq%3 == 0:
		panic("by order")
	}
	return nil
}

func (d *desk) give(*sturdy.ReadTurn) (caps.Ref, error) { return d.Ref, nil }

func deskParts() []sturdy.Part[desk] {
	return []sturdy.Part[desk]{sturdy.Command(deTake, (*desk).take), sturdy.Query(deGive, (*desk).give), sturdy.Query(deList, (*desk).list)}
}

var (
	deskKind = sturdy.Define("proof/desk", deskParts()...)
	lostKind = sturdy.Define("proof/lost desk", deskParts()...)
)

// clerk is a sender. Sent is how many it has sent to each desk; Told how many of its promises,
// one in three, came to something.
type clerk struct {
	Number     int64
	Sent       []int64
	Kept       int64
	Broken     int64
	Asked      int64
	AskedQueue int64 // of those, what was sent to those that may wait
}

type order struct {
	Desk int64
	To   caps.Ref
	N    int64
}

func (c *clerk) send(t *sturdy.WriteTurn, o order) error {
	for range o.N {
		c.Sent[o.Desk]++
		i := item{c.Number, o.Desk, c.Sent[o.Desk]}
		m := deTake
		if desks[o.Desk].name == "gone method" {
			m = deNone
		}
		p := m.Send(t, o.To, i)
		if i.Seq%3 != 0 {
			continue
		}
		if c.Asked++; desks[o.Desk].fate(i.Seq) == "waits" {
			c.AskedQueue++
		}
		if err := p.Then(t, t.Self(), deTold); err != nil {
			return err
		}
	}
	return nil
}

func (c *clerk) told(_ *sturdy.WriteTurn, o caps.Outcome[caps.Done]) error {
	if o.Err != nil {
		c.Broken++
	} else {
		c.Kept++
	}
	return nil
}

const clLook caps.Query[clerk] = "look"

func (c *clerk) look(*sturdy.ReadTurn) (clerk, error) { return *c, nil }

var clerkKind = sturdy.Define("proof/clerk", sturdy.Command(clSend, (*clerk).send), sturdy.Command(deTold, (*clerk).told), sturdy.Query(clLook, (*clerk).look))

func ledgerKinds(lost bool) []sturdy.Kind {
	if lost {
		return []sturdy.Kind{deskKind, clerkKind, lostKind}
	}
	return []sturdy.Kind{deskKind, clerkKind}
}

// foundLedger makes clerks and desks, by name in the root, and the letter whose promise the
// desk called promise is: forget makes the program one that cannot deliver it.
func foundLedger(w *runtimetest.World, forget func()) error {
	if err := foundDesks(w.Runtime); err != nil {
		return err
	}
	forget()
	return promiseDesk(w.Runtime)
}

// promiseDesk sends for the desk called promise; the program must not know lostKind.
func promiseDesk(rt *sturdy.Runtime) error {
	lost, err := rt.Root().Get(context.Background(), chosen+"unknown")
	if err != nil {
		return err
	}
	return rt.Root().Put(context.Background(), chosen+"promise", deGive.Send(context.Background(), lost).Ref())
}

func foundDesks(rt *sturdy.Runtime) error {
	return rt.Update(context.Background(), func(t *sturdy.WriteTurn) error {
		for n := range clerks {
			c := clerk{Number: int64(n), Sent: make([]int64, len(desks))}
			if err := rt.Root().Put(t, fmt.Sprint("clerk ", n), clerkKind.New(t, c)); err != nil {
				return err
			}
		}
		var good caps.Ref
		for _, d := range desks {
			var ref caps.Ref
			switch state := (desk{Name: d.name, Got: sturdy.NewList[item](t), Ref: good}); d.name {
			case "unknown":
				ref = lostKind.New(t, state)
			case "promise":
				continue
			case "revoked":
				var g sturdy.Grant
				ref, g = t.Grant(good, caps.Terms{For: "a while"})
				if err := g.Revoke(t); err != nil {
					return err
				}
			case "gone method":
				ref = good
			default:
				ref = deskKind.New(t, state)
			}
			if d.name == "good" {
				good = ref
			}
			if err := rt.Root().Put(t, chosen+d.name, ref); err != nil {
				return err
			}
		}
		return nil
	})
}

// busyClerks lets every clerk do n turns at the same time, some of which are aborted. It
// returns what was acknowledged.
func busyClerks(rt *sturdy.Runtime, seed uint64, n int) (acked [clerks][]int64) {
	var busy sync.WaitGroup
	for c := range clerks {
		acked[c] = make([]int64, len(desks))
		busy.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(c)))
			for range n {
				clerkTurn(rt, chance, c, acked[c])
			}
		})
	}
	busy.Wait()
	return acked
}

// clerkTurn is one turn of a clerk. What fails is not acknowledged.
func clerkTurn(rt *sturdy.Runtime, chance *rand.Rand, c int, acked []int64) {
	ctx, relaxed := context.Background(), chance.IntN(4) == 0
	if relaxed {
		ctx = sturdy.Relaxed(ctx)
	}
	abort := chance.IntN(5) == 0
	var orders []order
	for range 1 + chance.IntN(4) {
		orders = append(orders, order{Desk: int64(chance.IntN(len(desks))), N: 1 + chance.Int64N(3)})
	}
	var sent []int64
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		ref, err := rt.Root().Get(t, fmt.Sprint("clerk ", c))
		if err != nil {
			return err
		}
		for _, o := range orders {
			if o.To, err = rt.Root().Get(t, chosen+desks[o.Desk].name); err != nil {
				return err
			}
			if err := clSend.Call(t, ref, o); err != nil {
				return err
			}
		}
		if abort {
			return errUndone
		}
		state, err := clLook.Call(t, ref)
		sent = state.Sent
		return err
	})
	if err == nil && !relaxed {
		copy(acked, sent)
	}
}

// audit looks whether all that was sent became what it had to.
func audit(t *testing.T, rt *sturdy.Runtime, known bool, acked [clerks][]int64) {
	t.Helper()
	ctx := context.Background()
	var all [clerks]clerk
	waits, dead := 0, 0
	got := map[string][]item{}
	must(t, rt.View(ctx, func(tn *sturdy.ReadTurn) error {
		for c := range clerks {
			ref, err := rt.Root().Get(tn, fmt.Sprint("clerk ", c))
			if err != nil {
				return err
			}
			if all[c], err = clLook.Call(tn, ref); err != nil {
				return err
			}
		}
		return nil
	}))
	for d, what := range desks {
		for c := range clerks {
			n := all[c].Sent[d]
			if acked[c] != nil && n < acked[c][d] {
				t.Errorf("clerk %d had an answer for %d items to %s, and has sent %d", c, acked[c][d], what.name, n)
			}
			for seq := int64(1); seq <= n; seq++ {
				switch what.fate(seq) {
				case "got":
					got[what.name] = append(got[what.name], item{int64(c), int64(d), seq})
				case "waits":
					if waits++; known {
						waits--
						got[what.name] = append(got[what.name], item{int64(c), int64(d), seq})
					}
				case "dead":
					dead++
				}
			}
		}
	}
	if !known {
		waits++ // what the promise waits for
	}
	auditDesks(t, rt, known, got)
	auditQueues(t, rt, waits, dead)
	for c := range clerks {
		want := all[c].Asked
		if !known {
			want -= all[c].AskedQueue
		}
		if told := all[c].Kept + all[c].Broken; told != want {
			t.Errorf("clerk %d was told of %d promises, %d kept; want %d", c, told, all[c].Kept, want)
		}
	}
}

// auditDesks looks whether each desk has what it should, once, and in order for each clerk.
func auditDesks(t *testing.T, rt *sturdy.Runtime, known bool, want map[string][]item) {
	t.Helper()
	must(t, rt.View(context.Background(), func(tn *sturdy.ReadTurn) error {
		for _, what := range desks {
			name := what.name
			switch name {
			case "promise", "revoked", "gone method": // they are the good desk
				continue
			case "unknown":
				if !known {
					continue
				}
			}
			items := map[[2]int64][]int64{}
			expected := want[name]
			if name == "good" {
				expected = append(expected, want["promise"]...)
			}
			for _, i := range expected {
				items[[2]int64{i.Clerk, i.Desk}] = append(items[[2]int64{i.Clerk, i.Desk}], i.Seq)
			}
			ref, err := rt.Root().Get(tn, chosen+name)
			if err != nil {
				return err
			}
			state, err := deskAt(tn, rt, ref)
			if err != nil {
				return err
			}
			for _, i := range state.Range(tn, 0, state.Len(tn)) {
				from := [2]int64{i.Clerk, i.Desk}
				if len(items[from]) == 0 || items[from][0] != i.Seq {
					t.Errorf("%s got %+v; the next should be %v", name, i, items[from])
					return nil
				}
				items[from] = items[from][1:]
			}
			for from, left := range items {
				if len(left) > 0 {
					t.Errorf("%s never got %v of %v", name, left, from)
				}
			}
		}
		return nil
	}))
}

const deList caps.Query[caps.Ref] = "list"

func (d *desk) list(*sturdy.ReadTurn) (caps.Ref, error) { return d.Got.Ref, nil }

func deskAt(t *sturdy.ReadTurn, rt *sturdy.Runtime, ref caps.Ref) (sturdy.List[item], error) {
	got, err := deList.Call(t, ref)
	return sturdy.List[item]{Ref: got}, err
}

func auditQueues(t *testing.T, rt *sturdy.Runtime, waits, dead int) {
	t.Helper()
	for _, err := range rt.Activity().Letters(context.Background()) {
		must(t, err)
		waits--
	}
	for _, err := range rt.Activity().DeadLetters(context.Background()) {
		must(t, err)
		dead--
	}
	if waits != 0 || dead != 0 {
		t.Errorf("%d letters are missing in the queues, and %d dead ones", waits, dead)
	}
}

func TestWhatIsSentIsGotOnceOrWaitsOrIsDeadWhateverHappens(t *testing.T) {
	seed := seedOf(t)
	chance := rand.New(rand.NewPCG(seed, 2))
	w := unchecked(t, ledgerKinds(true)...)
	must(t, foundLedger(w, func() { w.Restart(ledgerKinds(false)...) }))
	var acked [clerks][]int64
	for round := range ops(30) {
		how := chance.IntN(6)
		switch how {
		case 0:
			fillUp(w)
		case 1:
			failSoon(w, chance.Int64N(20))
		}
		noteAcked(&acked, busyClerks(w.Runtime, seed+uint64(round), 6))
		w.Disk().Hook(nil)
		switch {
		case how < 4:
			w.Crash()
		case how == 4:
			w.Reopen()
		}
		w.Settle()
		if audit(t, w.Runtime, false, acked); t.Failed() {
			t.Fatalf("round %d, after %d", round, how)
		}
	}
	w.Restart(ledgerKinds(true)...)
	w.Settle()
	audit(t, w.Runtime, true, acked)
}

// noteAcked adds to what was acknowledged.
func noteAcked(acked *[clerks][]int64, more [clerks][]int64) {
	for c, ns := range more {
		if acked[c] == nil {
			acked[c] = make([]int64, len(desks))
		}
		for d, n := range ns {
			acked[c][d] = max(acked[c][d], n)
		}
	}
}

// failSoon makes the disk fail for good at its nth sync from now.
func failSoon(w *runtimetest.World, n int64) {
	var syncs atomic.Int64
	w.Disk().Hook(func(op, _ string, _ int) (int, error) {
		if op == "sync" && syncs.Add(1) > n {
			return 0, syscall.EIO
		}
		return 0, nil
	})
}
