package caps

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// Gates are the gates of one host that are in memory. There is one Gate for each path as
// long as anybody holds it, so that Refs with the same authority are equal. Safe for
// concurrent use.
type Gates struct {
	read   func(grant uint64) (Granted, error)
	clock  func() time.Time
	epoch  atomic.Uint64 // begins at 1
	latest atomic.Int64  // the latest time at which something was found to have run out

	mu    sync.Mutex // not taken by checks; by decoding granted Refs and crossing membranes
	live  map[string]weak.Pointer[Gate]
	swept int // how many were live after the last sweep
	used  []*Gate
}

// NewGates returns gates whose grants are read with read when they are first needed. A grant
// that does not exist is a revoked one. latest is Latest from the time before; a clock that
// stands behind it does not bring back what has run out.
func NewGates(read func(grant uint64) (Granted, error), clock func() time.Time, latest time.Time) *Gates {
	gs := &Gates{read: read, clock: clock, live: map[string]weak.Pointer[Gate]{}}
	gs.epoch.Store(1)
	if !latest.IsZero() {
		gs.latest.Store(latest.UnixNano())
	}
	return gs
}

// Open returns the gate of a path, as Gate.Path returned it; nil if path is empty.
func (gs *Gates) Open(path string) *Gate {
	if path == "" {
		return nil
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g := gs.live[path].Value(); g != nil {
		return g
	}
	g := &Gate{home: gs, path: path}
	gs.insert(g)
	return g
}

func (gs *Gates) open(ns []uint64) *Gate { return gs.Open(pathOf(ns)) }

// Grant is the gate of a single grant; nil if grant is 0.
func (gs *Gates) Grant(grant uint64) *Gate {
	if grant == 0 {
		return nil
	}
	return gs.grant(grant)
}

func (gs *Gates) grant(grant uint64) *Gate { return gs.open([]uint64{grant << 1}) }

// Add makes the gate of a grant that is being made and cannot be read yet.
func (gs *Gates) Add(grant uint64, says Granted) (*Gate, error) {
	g := &Gate{home: gs, path: pathOf([]uint64{grant << 1})}
	f, err := g.single(says)
	if err != nil {
		return nil, err
	}
	g.facts.Store(f)
	gs.mu.Lock()
	gs.insert(g)
	gs.mu.Unlock()
	return g, nil
}

// insert adds g; with mu held. When the table has doubled, the dead are removed.
func (gs *Gates) insert(g *Gate) {
	gs.live[g.path] = weak.Make(g)
	if len(gs.live) < 2*gs.swept+1024 {
		return
	}
	for path, w := range gs.live {
		if w.Value() == nil {
			delete(gs.live, path)
		}
	}
	gs.swept = len(gs.live)
}

// Revoke lets no call through the grants, nor through any below them, from when it returns:
// read must report them revoked by now.
func (gs *Gates) Revoke(grants ...uint64) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, n := range grants {
		g := gs.live[pathOf([]uint64{n << 1})].Value()
		if g == nil {
			continue
		}
		if was := g.facts.Load(); was != nil { // else it is read when it is needed
			f := *was
			f.revoked = true
			g.facts.Store(&f)
		}
	}
	gs.epoch.Add(1)
}

// Reload forgets what was read, as some of it never was: a commit has failed.
func (gs *Gates) Reload() {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, w := range gs.live {
		if g := w.Value(); g != nil {
			g.facts.Store(nil)
		}
	}
	gs.epoch.Add(1)
}

// Latest is the latest time at which something was found to have run out; zero: never. A
// host keeps it, so that this stays so when the clock goes back.
func (gs *Gates) Latest() time.Time {
	if n := gs.latest.Load(); n != 0 {
		return time.Unix(0, n).UTC()
	}
	return time.Time{}
}

// Past reports whether t is past, and if so remembers it: see Latest.
func (gs *Gates) Past(t time.Time) bool { return gs.reached(t.UnixNano(), nil) }

// reached reports whether until is past, and remembers it if so.
func (gs *Gates) reached(until int64, now *int64) bool {
	if now == nil {
		now = new(int64)
	}
	if *now == 0 {
		*now = gs.clock().UnixNano()
	}
	latest := gs.latest.Load()
	switch {
	case latest >= until:
		return true // known, and no news
	case *now < until:
		return false
	}
	for latest < *now && !gs.latest.CompareAndSwap(latest, *now) {
		latest = gs.latest.Load()
	}
	return true
}

func (gs *Gates) touch(g *Gate) {
	now := gs.clock().UnixNano()
	gs.mu.Lock()
	g.usedAt = now
	gs.used = append(gs.used, g)
	gs.mu.Unlock()
}

// Used tells how often each grant was called through since Used was last called, and when
// that began: of most at the most, the others remain for next time. So may a call under way.
func (gs *Gates) Used(most int, tell func(grant uint64, calls int64, since time.Time)) {
	gs.mu.Lock()
	most = min(most, len(gs.used))
	used := gs.used[:most:most]
	if gs.used = gs.used[most:]; len(gs.used) == 0 {
		gs.used = nil
	}
	since := make([]int64, len(used))
	for i, g := range used {
		since[i] = g.usedAt
	}
	gs.mu.Unlock()
	for i, g := range used {
		tell(passes(g.path)[0]>>1, g.uses.Swap(0), time.Unix(0, since[i]).UTC())
	}
}

// InUse reports whether Used would tell anything.
func (gs *Gates) InUse() bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	return len(gs.used) > 0
}

// Uses is how often calls came through a single grant since Used last told, and when that
// began.
func (g *Gate) Uses() (calls int64, since time.Time) {
	g.home.mu.Lock()
	defer g.home.mu.Unlock()
	return g.uses.Load(), time.Unix(0, g.usedAt).UTC()
}

// load returns what the gate comes to, and reads it if that is not known.
func (g *Gate) load() (*facts, error) {
	for {
		if f := g.facts.Load(); f != nil {
			return f, nil
		}
		epoch := g.home.epoch.Load()
		f, err := g.find()
		if err != nil {
			return nil, err
		}
		g.home.mu.Lock()
		if g.home.epoch.Load() == epoch { // else it may have been revoked while it was read
			g.facts.Store(f)
		}
		g.home.mu.Unlock()
	}
}

func (g *Gate) find() (*facts, error) {
	ns := passes(g.path)
	if g.path != pathOf(ns) || len(ns) == 0 || len(ns) > maxParts {
		return nil, g.damaged("its path is malformed")
	}
	if len(ns) > 1 || ns[0]&1 != 0 {
		return g.several(ns)
	}
	says, err := g.home.read(ns[0] >> 1)
	if err != nil {
		return nil, err
	}
	return g.single(says)
}

// single is what one grant comes to.
func (g *Gate) single(says Granted) (*facts, error) {
	f := &facts{revoked: says.Revoked, rights: says.Authority, parent: says.Authority.Gate, label: says.For, depth: 1}
	f.rights.Gate = nil
	if !says.Until.IsZero() {
		f.until = max(says.Until.UnixNano(), 1) // 0 is never
	}
	if says.Only != nil {
		f.limit(says.Only)
	}
	if f.parent != nil {
		own := passes(g.path)[0] >> 1
		if slices.ContainsFunc(f.parent.Grants(), func(n uint64) bool { return n >= own }) {
			return nil, g.damaged("it stands below a grant that was made after it")
		}
		up, err := f.parent.load()
		if err != nil {
			return nil, err
		}
		if f.under(up); says.Deep { // what is below the membranes above is below this one
			f.covers = slices.DeleteFunc(f.covers, func(p pass) bool { return !p.in })
		}
	}
	if says.Deep {
		f.covers = append(f.covers, pass{gate: g})
	}
	if f.depth > maxGrants {
		return nil, tooManyGrants()
	}
	f.finish(g)
	return f, nil
}

// several is what a path of more than one crossing comes to.
func (g *Gate) several(ns []uint64) (*facts, error) {
	f := &facts{}
	for i, n := range ns {
		if i > 0 && n <= ns[i-1] {
			return nil, g.damaged("its path is not in order")
		}
		p := pass{g.home.grant(n >> 1), n&1 != 0}
		up, err := p.gate.load()
		if err != nil {
			return nil, err
		}
		f.parts = append(f.parts, p)
		if p.in { // what is inside is not limited by what the outside may do
			f.until, f.depth = earlier(f.until, up.until), max(f.depth, up.depth+1)
			f.covers = append(f.covers, p)
			continue
		}
		f.under(up)
	}
	f.finish(g)
	return f, nil
}

// under adds what stands above.
func (f *facts) under(up *facts) {
	f.until = earlier(f.until, up.until)
	f.depth = max(f.depth, up.depth+1)
	if up.limited {
		f.limit(up.only)
	}
	for _, p := range up.covers {
		if !slices.Contains(f.covers, p) {
			f.covers = append(f.covers, p)
		}
	}
}

// limit leaves the methods that are in only, too.
func (f *facts) limit(only []string) {
	if !f.limited {
		f.limited, f.only = true, slices.Clone(only)
		return
	}
	f.only = slices.DeleteFunc(slices.Clone(f.only), func(m string) bool { return !slices.Contains(only, m) })
}

// finish ends the making of facts: with the gate that arguments go in through, the same
// membranes crossed the other way.
func (f *facts) finish(g *Gate) {
	f.clear = f.until == 0 && !f.limited
	if len(f.covers) == 0 {
		return
	}
	back := &facts{}
	for _, p := range f.covers {
		back.covers = append(back.covers, pass{p.gate, !p.in})
	}
	f.inward = &Gate{home: g.home, path: g.path}
	f.inward.facts.Store(back)
}

func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
