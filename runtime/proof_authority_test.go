package sturdy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// authoritySeed is the seed of the flag or of the environment, or the time; a test that
// fails prints it. The world's own chance follows it.
func authoritySeed(t *testing.T) uint64 {
	seed, err := strconv.ParseUint(os.Getenv("STURDY_SEED"), 0, 64)
	if err != nil || *seedFlag != 0 {
		seed = seedOf(t)
	}
	t.Setenv("STURDY_SEED", strconv.FormatUint(seed, 10))
	return seed
}

func TestTheOracleOfAuthorityAndTheRuntimeNeverDiffer(t *testing.T) {
	seed := authoritySeed(t)
	for _, checked := range []bool{false, true} {
		episodes, length := everyday(10), 150
		if checked {
			episodes = everyday(4)
		}
		if *opsFlag > 0 {
			episodes = max(1, *opsFlag/length)
		}
		start, done := time.Now(), 0
		for i := range episodes {
			t.Run(fmt.Sprintf("checked=%v/%d", checked, i), func(t *testing.T) {
				acts := randomActs(rand.New(rand.NewPCG(seed, uint64(i))), length)
				if diff := playActs(t, acts, checked); diff != "" {
					acts = shrinkActs(acts, func(acts []act) bool { return playActs(t, acts, checked) != "" })
					for _, a := range acts {
						t.Logf("%+v", a)
					}
					t.Fatalf("first: %s\nshrunk: %s", diff, playActs(t, acts, checked))
				}
			})
			if done += length; t.Failed() {
				return
			}
		}
		t.Logf("checked %v: %d episodes, %.0f operations/s", checked, episodes, float64(done)/time.Since(start).Seconds())
	}
}

// everyday is fewer episodes where everything is slower.
func everyday(n int) int {
	if raceEnabled {
		return max(1, n/4)
	}
	return n
}

// randomActs makes a script.
func randomActs(chance *rand.Rand, n int) (acts []act) {
	deeds := func(some int) (ds []deed) {
		for range some {
			d := deed{Do: "call", P: chance.IntN(parties), A: chance.IntN(1000), B: chance.IntN(1000), Verb: chance.IntN(1000), N: chance.IntN(1 << 20), Untyped: chance.IntN(4) == 0}
			switch chance.IntN(12) {
			case 0, 1:
				d.Do = "grant"
			case 4, 5:
				d.Do = "round"
			case 2:
				d.Do = "attenuate"
			case 3:
				if d.Do = "give"; chance.IntN(3) == 0 {
					d.Do, d.P, d.A = "seal", 0, sealers(chance)
				}
			}
			ds = append(ds, d)
		}
		return ds
	}
	for range n {
		a := act{Do: "alone", N: chance.IntN(1000)}
		switch k := chance.IntN(100); {
		case k < 55:
			a.Deeds = deeds(1)
		case k < 65:
			a.Do, a.Deeds = []string{"save", "weaken", "restore", "restore"}[chance.IntN(4)], deeds(1)
		case k < 85:
			a.Do, a.Fail, a.Deeds = "update", chance.IntN(3) == 0, deeds(2+chance.IntN(6))
		case k < 90:
			a.Do, a.Deeds = "view", deeds(2+chance.IntN(4))
		case k < 95:
			a.Do = "advance"
			if a.N = chance.IntN(8); chance.IntN(4) == 0 {
				a.N = -a.N
			}
		case k < 97:
			a.Do = "evict"
		case k < 98:
			a.Do = "reopen"
		case k < 99:
			a.Do = "crash"
		default:
			a.Do = "rewind"
		}
		acts = append(acts, a)
	}
	return acts
}

// sealers is where the sealers stand in the bag of party 0.
func sealers(chance *rand.Rand) int { return 7 + 2*chance.IntN(2) }

// playActs plays a script in a world of its own and returns the first difference.
func playActs(t *testing.T, acts []act, checked bool) string {
	p := newAuthorityPlayer(t, checked)
	defer func() { _ = p.w.Close() }()
	for i, a := range acts {
		diff := p.do(a)
		if diff == "" {
			all := a.Do == "crash" || a.Do == "reopen" || a.Do == "rewind" || i == len(acts)-1
			diff = p.probe(rand.New(rand.NewPCG(uint64(a.N), 2)), all)
		}
		if diff != "" {
			return fmt.Sprintf("act %d, %s: %s", i, a.Do, diff)
		}
	}
	return ""
}

// shrinkActs leaves out acts, and deeds of turns, as long as the script still fails, for a
// few seconds.
func shrinkActs(acts []act, fails func([]act) bool) []act {
	end := time.Now().Add(15 * time.Second)
	for size := len(acts) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(acts) && time.Now().Before(end); {
			if less := slices.Delete(slices.Clone(acts), at, at+size); fails(less) {
				acts = less
			} else {
				at += size
			}
		}
	}
	for i := range acts {
		for at := 0; len(acts[i].Deeds) > 1 && at < len(acts[i].Deeds) && time.Now().Before(end); {
			less := slices.Clone(acts)
			less[i].Deeds = slices.Delete(slices.Clone(less[i].Deeds), at, at+1)
			if fails(less) {
				acts = less
			} else {
				at++
			}
		}
	}
	return acts
}

// newAuthorityPlayer makes a world with five boxes and four collections, which party 0 holds
// with every right, and a box each that the others hold.
func newAuthorityPlayer(t *testing.T, checked bool) *authorityPlayer {
	kind := boxKind()
	p := &authorityPlayer{
		w:     runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{kind}, Checked: checked}),
		verbs: verbs(), weaker: map[string]uint64{},
	}
	p.m = &authorityModel{oracle: oracle{grants: map[uint64]record{}, clock: func() time.Time { return p.w.Now() }, seen: new(time.Time)}, nodes: map[uint64]node{}}
	var refs []caps.Ref
	must(t, p.w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		refs = nil
		for range parties + 2 {
			refs = append(refs, kind.New(tn, box{}))
		}
		refs = append(refs, sturdy.NewMap[string, caps.Ref](tn).Ref, sturdy.NewList[caps.Ref](tn).Ref,
			sturdy.NewCell(tn, caps.Ref{}).Ref, sturdy.NewDirectory(tn).Ref)
		for range 2 {
			sealer, unsealer := sturdy.NewBrand(tn, "proof")
			refs = append(refs, sealer.Ref, unsealer.Ref)
		}
		for i := range parties {
			home := kind.New(tn, box{})
			if err := p.w.Root().Put(tn, "home"+strconv.Itoa(i), home); err != nil {
				return err
			}
		}
		return nil
	}))
	kinds := []string{"box", "box", "box", "box", "box", "box", "map", "list", "cell", "directory", "sealer", "unsealer", "sealer", "unsealer"}
	for i, ref := range refs {
		is, err := p.slotOf(t.Context(), ref)
		must(t, err)
		n := node{kind: kinds[i], rows: map[string]slot{}}
		if n.kind == "unsealer" {
			n.one.obj = is.obj - 1 // its sealer
		}
		p.m.nodes[is.obj] = n
		owner := 0
		if i < parties {
			owner = i
		}
		p.bags[owner] = append(p.bags[owner], held{ref, is})
		p.fixed[owner]++
	}
	must(t, p.forget())
	return p
}

// probe asks whether some Refs, or all, do what the oracle says, in a turn that fails at its
// end and from outside.
func (p *authorityPlayer) probe(chance *rand.Rand, all bool) string {
	var some []held
	for _, bag := range p.bags {
		for _, h := range bag {
			if all || chance.IntN(6) == 0 {
				some = append(some, h)
			}
		}
	}
	ctx, diff := context.Background(), ""
	for _, h := range some {
		if chance.IntN(3) == 0 && diff == "" {
			diff = p.probeOne(ctx, p.m, h, false)
		}
	}
	for _, h := range some {
		if all && diff == "" {
			diff = p.probeText(ctx, h)
		}
	}
	if diff != "" {
		return "from outside: " + diff
	}
	err := p.w.Update(ctx, func(t *sturdy.WriteTurn) error {
		diff = ""
		for _, h := range some {
			if diff == "" {
				diff = p.probeOne(t, p.m, h, true)
			}
		}
		return errMess
	})
	if diff == "" && codeOf(err) != errMess {
		diff = fmt.Sprint("the turn of the probes: ", err)
	}
	return diff
}

// probed is a method that changes nothing that the model knows.
type probed struct {
	method string
	need   caps.Rights
	lacks  bool // the kind has no such method
}

func probes(kind string) []probed {
	ps := []probed{{"no such method", 0, true}}
	switch kind {
	case "box":
		return append(ps, probed{"one", caps.Read, false}, probed{"any", caps.Read, false}, probed{"poke", caps.Write, false})
	case "grant":
		return append(ps, probed{"info", caps.Read, false})
	case "sealer", "unsealer", "sealed":
		return append(ps, probed{"brand", caps.Read, false})
	}
	return append(ps, probed{"len", caps.Read, false})
}

// probeOne calls what can be called through h. In a write turn it also tries to write where
// that would show, for the turn will fail.
func (p *authorityPlayer) probeOne(ctx context.Context, m *authorityModel, h held, fails bool) string {
	ps := probes(h.kind(m))
	if h.kind(m) == "directory" && fails {
		ps = append(ps, probed{"delete", caps.Write, false})
	}
	for _, one := range ps {
		want := m.allowed(h.is, one.method, one.need, !one.lacks)
		if want == "" && one.method == "info" {
			m.dead([]crossing{{h.is.obj, false}}) // it says whether the grant is alive
		}
		var arg caps.Value
		if one.method == "delete" {
			arg, _ = caps.ValueOf("a")
		}
		_, err := caps.Method[caps.Value, caps.Value](one.method).Call(ctx, h.ref, arg)
		if got := codeOf(err); !sameCode(got, want, h.is) {
			return fmt.Sprintf("probe of %s.%s through %v: got %q %v; the oracle says %q", h.kind(m), one.method, h.is, got, err, want)
		}
	}
	return ""
}

// probeText asks the world what it says of a Ref, and what that allows. To ask is to see
// what has run out.
func (p *authorityPlayer) probeText(ctx context.Context, h held) string {
	dead := p.m.dead(h.is.path)
	for n := range p.m.above(h.is.path, false, map[uint64]bool{}) {
		if _, ok := p.m.grants[n]; !ok {
			return "" // what never was is not described
		}
		p.m.dead([]crossing{{n, false}})
	}
	got, err := p.slotOf(ctx, h.ref)
	if err != nil || !got.equal(h.is) {
		return fmt.Sprintf("it is described as %v, %v; the oracle says %v", got, err, h.is)
	}
	info, err := p.w.Describe(ctx, h.ref)
	if err != nil {
		return err.Error()
	}
	for _, v := range p.verbs {
		if v.kind == h.kind(p.m) && slices.Contains(info.Allows, v.method) != (!dead && p.m.allowed(h.is, v.method, v.need, true) == "") {
			return fmt.Sprintf("%v allows %v, and not or not only %s", h.is, info.Allows, v.method)
		}
	}
	return ""
}
