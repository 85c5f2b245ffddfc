package sturdy

import (
	"context"
	goruntime "runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// inUse is how many bytes are in use when nothing more is collected.
func inUse() int64 {
	var m goruntime.MemStats
	for range 3 { // what is weak goes in the first, what is cleaned up after that in the next
		goruntime.GC()
	}
	goruntime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A host has a hundred thousand objects, which another gets and forgets again. Neither has anything
// left of that: the first keeps no list of what it has given away, and the second drops what it has
// in the end, also if it never gets another.
func TestRefsThatAreReleasedLeaveNothingOnEitherSide(t *testing.T) {
	const n = 100_000
	synctest.Test(t, func(t *testing.T) {
		c := newCables(t)
		a, r := c.open("")
		b, _ := c.open("")
		// Every grant makes another path, and so another Ref of the one object; the paths are as
		// good as those of a hundred thousand objects, and cost a nothing.
		given := make([]caps.Ref, 0, n)
		h, auth, _ := a.open(r)
		for i := range uint64(n) {
			auth.Gate = a.gates.Open(string([]byte{byte(i) | 0x80, byte(i>>7) | 0x80, byte(i>>14) | 0x80, 0x7f}))
			given = append(given, a.ref(h, auth))
		}
		_ = c.give(a, r, b)
		before := inUse()
		tokens, sizes := make([][]byte, 0, n), int64(0)
		for _, ref := range given {
			token, err := a.Export(context.Background(), ref, b.Host())
			c.must(err)
			tokens, sizes = append(tokens, token), sizes+int64(cap(token)+24)
		}
		out := inUse() - before - sizes
		refs := make([]caps.Ref, 0, n)
		for _, token := range tokens {
			ref, err := b.Import(token, a.Host(), "")
			c.must(err)
			refs = append(refs, ref)
		}
		held := inUse() - before - sizes - out
		goruntime.KeepAlive(refs)
		goruntime.KeepAlive(tokens)
		refs, tokens = nil, nil
		soon := inUse() - before
		time.Sleep(2 * forgetEvery)
		left := inUse() - before
		goruntime.KeepAlive(given)
		t.Logf("bytes for each Ref: %d at its host, %d at who has it; after its release %d, and %d in the end", out/n, held/n, soon/n, left/n)
		if out/n > 10 || held/n > 500 || left/n > 10 {
			t.Error("that is too much")
		}
		c.must(a.Close())
		c.must(b.Close())
	})
}

// The host in the middle has not looked at what it passes on since it was started.
func TestWhatIsPassedOnIsKnownToBeElsewhereAfterARestart(t *testing.T) {
	c, dir := newCables(t), t.TempDir()
	a, r := c.open("")
	b, _ := c.open(dir + "/b")
	third, _ := c.open("")
	at := c.give(a, r, b)
	c.must(b.Root().Put(t.Context(), "held", at))
	far := c.give(b, at, third)
	again := func() {
		c.must(b.Close())
		b, _ = c.open(dir + "/b")
	}
	again()
	c.sends(far, 3, 1) // letters
	again()
	token, err := third.Export(t.Context(), far, b.Host())
	c.must(err)
	passes, err := b.Import(token, third.Host(), "")
	c.must(err)
	if home := c.give(b, passes, a); !home.Same(r) { // on the way home
		t.Error("another object:", home)
	}
	again()
	passes, err = b.Import(token, third.Host(), "")
	c.must(err)
	c.must(b.Root().Put(t.Context(), "passed", passes)) // and put away
	again()
	stored, err := b.Root().Get(t.Context(), "passed")
	c.must(err)
	if held := c.holdsAt(b); !stored.Same(held) || !c.give(b, stored, a).Same(r) {
		t.Error("another object:", stored, held)
	}
	c.sends(stored, 2, 4)
}

// What a stranger says that a Ref may do is no more than any Ref can.
func TestADeepRefOfAStrangerOnlyReads(t *testing.T) {
	if a := authorityOf(deepBit | uint8(everything)); !a.Deep || a.Rights != caps.Read {
		t.Errorf("%+v", a)
	}
}

// The table of stand-ins is as large as those that are held ask for, however many have gone.
func TestRefsThatComeAndGoDoNotAddUp(t *testing.T) {
	c := newCables(t)
	a, r := c.open("")
	b, _ := c.open("")
	token, err := a.Export(t.Context(), r, b.Host())
	c.must(err)
	const each = 5000
	for i := range 8 * each {
		token[len(token)-1], token[len(token)-2] = byte(i), byte(i>>8) // nobody calls it
		_, err := b.Import(token, a.Host(), "")
		c.must(err)
		if i%each == each-1 {
			goruntime.GC()
		}
	}
	b.remotes.mu.Lock()
	defer b.remotes.mu.Unlock()
	if n := len(b.remotes.by); n > 3*each+1024 {
		t.Errorf("%d places are taken, and nobody holds a Ref", n)
	}
}
