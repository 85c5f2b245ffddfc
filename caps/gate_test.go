package caps

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// records is what a host keeps: grants by number, and a clock.
type records struct {
	mu    sync.Mutex
	says  map[uint64]Granted
	reads int
	now   atomic.Int64
	gates *Gates
}

func newRecords() *records {
	r := &records{says: map[uint64]Granted{}}
	r.now.Store(1000)
	r.gates = NewGates(r.read, func() time.Time { return time.Unix(0, r.now.Load()) }, time.Time{})
	return r
}

func (r *records) read(n uint64) (Granted, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	says, ok := r.says[n]
	if !ok {
		says.Revoked = true
	}
	return says, nil
}

// grant makes grant n of what a Ref with authority a designates.
func (r *records) grant(n uint64, a Authority, says Granted) Authority {
	says.Authority = a
	r.mu.Lock()
	r.says[n] = says
	r.mu.Unlock()
	a.Gate = r.gates.Grant(n)
	return a
}

func (r *records) revoke(n uint64) {
	r.mu.Lock()
	says := r.says[n]
	says.Revoked = true
	r.says[n] = says
	r.mu.Unlock()
	r.gates.Revoke(n)
}

func answer(g *Gate, method string) Code {
	var e *Error
	if errors.As(g.Check(method, nil), &e) {
		return e.Code
	}
	return ""
}

func TestAGateIsReadWhenItIsFirstCheckedAndOnlyThen(t *testing.T) {
	r := newRecords()
	a := r.grant(1, Full(), Granted{})
	b := r.grant(2, a, Granted{Only: []string{"get"}})
	again := r.gates.Open(b.Gate.Path())
	if again != b.Gate || r.reads != 0 {
		t.Errorf("%d reads; one gate: %v", r.reads, again == b.Gate)
	}
	for range 3 {
		if c := answer(b.Gate, "get"); c != "" {
			t.Error(c)
		}
	}
	if c := answer(b.Gate, "put"); c != ErrNoMethod || r.reads != 2 {
		t.Errorf("%q after %d reads", c, r.reads)
	}
	r.revoke(1)
	if c := answer(b.Gate, "put"); c != ErrRevoked || r.reads != 2 {
		t.Errorf("%q after %d reads", c, r.reads)
	}
}

func TestWhatRunsOutFirstCountsAndStaysPast(t *testing.T) {
	r := newRecords()
	a := r.grant(1, Full(), Granted{Until: time.Unix(0, 2000)})
	b := r.grant(2, a, Granted{Until: time.Unix(0, 3000)})
	r.now.Store(1999)
	if c := answer(b.Gate, "get"); c != "" {
		t.Error(c)
	}
	r.now.Store(2000)
	if c := answer(b.Gate, "get"); c != ErrRevoked {
		t.Error(c)
	}
	r.now.Store(1000)
	if c := answer(a.Gate, "get"); c != ErrRevoked || r.gates.Latest().UnixNano() != 2000 {
		t.Errorf("%q, seen %v", c, r.gates.Latest())
	}
	later := NewGates(r.read, func() time.Time { return time.Unix(0, 1000) }, r.gates.Latest())
	if c := answer(later.Grant(2), "get"); c != ErrRevoked {
		t.Error("it came back with the next opening")
	}
}

func TestAMembraneAddsItsMarkInBothDirections(t *testing.T) {
	r := newRecords()
	m := r.grant(7, Full().Attenuate(Read|Write), Granted{Deep: true, Only: []string{"get"}})
	if err := m.Gate.Alive(nil); err != nil {
		t.Fatal(err)
	}
	out, in := Full().Through(m), Full().Through(m.Inward())
	for _, c := range []struct {
		what string
		is   Authority
		path []uint64
		has  Rights
	}{
		{"a result", out, []uint64{14}, Read | Write},
		{"a result of a result", Full().Through(out), []uint64{14}, Read | Write},
		{"an argument", in, []uint64{15}, all},
		{"what is handed to a callback", Full().Through(in.Inward()), []uint64{14}, Read | Write},
		{"what a callback returns", Full().Through(in), []uint64{15}, all},
		{"an argument that is returned", in.Through(m), []uint64{14, 15}, Read | Write},
		{"a result that is handed back", out.Through(m.Inward()), []uint64{14, 15}, Read | Write},
	} {
		if got := passes(c.is.Gate.Path()); !slices.Equal(got, c.path) || c.is.Rights != c.has {
			t.Errorf("%s: %v %v; want %v %v", c.what, got, c.is.Rights, c.path, c.has)
		}
	}
	if c := answer(out.Gate, "put"); c != ErrNoMethod {
		t.Errorf("what came out: %q", c)
	}
	if c := answer(in.Gate, "put"); c != "" {
		t.Errorf("what went in: %q", c)
	}
	r.revoke(7)
	if answer(out.Gate, "get") != ErrRevoked || answer(in.Gate, "get") != ErrRevoked {
		t.Error("a membrane that was revoked lets something through")
	}
}

func TestLimitsOfPathsFailClosed(t *testing.T) {
	r := newRecords()
	a := Full()
	for n := uint64(1); n <= maxParts+1; n++ {
		m := r.grant(n, Full(), Granted{Deep: true})
		a = a.Through(m)
		if want := n <= maxParts; want != (a.Rights == all) {
			t.Errorf("after %d membranes it carries %v", n, a)
		}
	}
	b := Full()
	for n := uint64(100); n < 100+maxGrants; n++ {
		b = r.grant(n, b, Granted{})
	}
	if err := b.Gate.Alive(nil); err != nil {
		t.Error(err)
	}
	b = r.grant(100+maxGrants, b, Granted{})
	if err := b.Gate.Alive(nil); !errors.Is(err, ErrOverloaded) {
		t.Errorf("65 grants above each other: %v", err)
	}
	other := newRecords()
	m := other.grant(1, Full(), Granted{Deep: true})
	if got := r.grant(200, Full(), Granted{}).Through(m); got.Rights != 0 {
		t.Errorf("a Ref of another host came through with %v", got)
	}
	loop := r.grant(300, Full(), Granted{})
	r.grant(300, loop, Granted{})
	if err := loop.Gate.Alive(nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("a grant above itself: %v", err)
	}
}

func FuzzAPathThatNobodyMadeOpensNothing(f *testing.F) {
	for _, path := range []string{"", "\x02", "\x03", "\x02\x02", "\x04\x02", "\x80", "\x82\x00", strings.Repeat("\x02", 40)} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := newRecords()
		for n := range uint64(64) {
			r.grant(n, Full(), Granted{Deep: n%2 == 0})
		}
		g := r.gates.Open(path)
		if g.Path() != path {
			t.Fatalf("%q became %q", path, g.Path())
		}
		ns := passes(path)
		wellFormed := pathOf(ns) == path && len(ns) <= maxParts && slices.IsSorted(ns) && len(slices.Compact(slices.Clone(ns))) == len(ns)
		for _, n := range ns {
			wellFormed = wellFormed && n>>1 < 64
		}
		if err := g.Alive(nil); (err == nil) != wellFormed {
			t.Errorf("%v: %v", ns, err)
		}
	})
}

// The table forgets gates that nobody holds, and does not mix up those that somebody does.
func TestGatesThatNobodyHoldsAreForgotten(t *testing.T) {
	r := newRecords()
	kept := r.gates.Grant(1)
	for n := range uint64(20_000) {
		r.gates.Grant(n + 2)
		if n%5000 == 0 {
			runtime.GC()
		}
	}
	runtime.GC()
	for n := range uint64(20_000) {
		r.gates.Grant(n + 30_000)
	}
	if r.gates.Grant(1) != kept {
		t.Error("a gate that is held was forgotten")
	}
	if n := len(r.gates.live); n > 45_000 {
		t.Errorf("%d gates are remembered", n)
	}
}

// A call that begins after a revocation has returned is refused, whoever loads, reloads and
// checks meanwhile.
func TestNoCheckThatBeginsAfterARevocationSucceeds(t *testing.T) {
	r := newRecords()
	const chains, depth = 20, 8
	refs := make([][]Authority, chains)
	for c := range chains {
		a := Full()
		for d := range depth {
			a = r.grant(uint64(c*depth+d+1), a, Granted{Deep: d == 3})
			refs[c] = append(refs[c], a, Full().Through(a))
		}
	}
	var revoked [chains * depth]atomic.Bool
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for !stop.Load() {
				c, d := rng.IntN(chains), rng.IntN(depth)
				dead := false
				for up := range d + 1 {
					dead = dead || revoked[c*depth+up].Load()
				}
				if err := refs[c][2*d].Gate.Alive(nil); err == nil && dead {
					t.Errorf("grant %d is alive below a revoked one", c*depth+d+1)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for !stop.Load() {
			r.gates.Reload()
			runtime.Gosched()
		}
	})
	for i, n := range rand.New(rand.NewPCG(2, 3)).Perm(chains * depth) {
		r.revoke(uint64(n + 1))
		revoked[n].Store(true)
		if i%10 == 0 {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestUsesAreToldOnce(t *testing.T) {
	r := newRecords()
	a := r.grant(1, Full(), Granted{Deep: true})
	b := Full().Through(a).Through(r.grant(2, Full(), Granted{Deep: true}))
	for range 3 {
		if err := b.Gate.Alive(nil); err != nil {
			t.Fatal(err)
		}
		b.Gate.Use(2)
	}
	a.Gate.Use(1)
	told := map[uint64]int64{}
	for range 3 {
		r.gates.Used(1, func(n uint64, calls int64, _ time.Time) { told[n] += calls })
	}
	if fmt.Sprint(told) != "map[1:7 2:6]" || r.gates.InUse() {
		t.Errorf("%v, more to tell: %v", told, r.gates.InUse())
	}
}

// What is revoked while nothing of it is known still covers what comes out of it.
func TestAGateThatIsRevokedUnreadIsReadBeforeAnythingCrosses(t *testing.T) {
	r := newRecords()
	m := r.grant(1, Full(), Granted{Deep: true})
	if err := m.Gate.Alive(nil); err != nil {
		t.Fatal(err)
	}
	r.gates.Reload()
	r.revoke(1)
	if out := Full().Through(m); out.Gate == nil || !m.Narrows() {
		t.Errorf("what comes out is bare: %v", out)
	}
}
