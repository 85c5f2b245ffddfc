package sturdy

import (
	"os"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// A world that is brought back from a backup has forgotten what it did since, and the others have
// not. Its channel to them is a new one, and theirs to it begins again.

// backup closes the world at dir, copies it and opens it again.
func (c *cables) backup(rt *Runtime, dir, to string) (*Runtime, caps.Ref) {
	c.t.Helper()
	c.must(rt.Close())
	c.must(os.CopyFS(to, os.DirFS(dir)))
	return c.open(dir)
}

// holdsAt is what rt has put away in its root.
func (c *cables) holdsAt(rt *Runtime) caps.Ref {
	c.t.Helper()
	r, err := rt.Root().Get(c.t.Context(), "held")
	c.must(err)
	return r
}

// sends sends n letters that add one, and waits for what they come to, from first on.
func (c *cables) sends(to caps.Ref, n, first int) {
	c.t.Helper()
	for i := range n {
		if got, err := tallyAdd.Send(c.t.Context(), to, 1).Await(within(c.t)); got != int64(first+i) || err != nil {
			c.t.Fatalf("letter %d came to %d, %v; want %d", i, got, err, first+i)
		}
	}
}

func TestLettersOfASenderThatWasBroughtBackAreNew(t *testing.T) {
	c, dir := newCables(t), t.TempDir()
	a, r := c.open("")
	b, _ := c.open(dir + "/b")
	c.must(b.Root().Put(t.Context(), "held", c.give(a, r, b)))
	c.sends(c.holdsAt(b), 5, 1)
	b, _ = c.backup(b, dir+"/b", dir+"/backup")
	c.sends(c.holdsAt(b), 200, 6) // with places in the channel that are given again below
	c.settled(b)
	c.must(b.Close())
	b, _ = c.open(dir + "/backup")
	if !b.Copied() {
		t.Fatal("it should be a copy")
	}
	c.sends(c.holdsAt(b), 3, 206)
	c.settled(b)
	c.settled(a)
	c.holds(r, 208)
}

// The receiver is brought back. It has outcomes for what it took before the backup; what it took
// after that is brought again, and so is not lost behind what is sent now.
func TestLettersToAReceiverThatWasBroughtBackRunOnceInWhatItKnows(t *testing.T) {
	c, dir := newCables(t), t.TempDir()
	a, _ := c.open(dir + "/a")
	b, _ := c.open("")
	r, err := a.Root().Get(t.Context(), "tally")
	c.must(err)
	at := c.give(a, r, b)
	c.sends(at, 5, 1)
	deaf := func(is bool) { // b is heard, and not found
		c.mu.Lock()
		if c.by[b.Host()] = b; is {
			delete(c.by, b.Host())
		}
		c.mu.Unlock()
	}
	run := func(r caps.Ref, want int64) {
		t.Helper()
		for late := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
			if n, err := tallyAdd.Call(t.Context(), r, 0); n == want && err == nil {
				return
			} else if time.Now().After(late) {
				t.Fatalf("it holds %d, %v; want %d", n, err, want)
			}
		}
	}
	deaf(true)
	var ps []caps.Promise[int64]
	for range 2 {
		ps = append(ps, tallyAdd.Send(t.Context(), at, 1))
	}
	run(r, 7)
	a, r = c.backup(a, dir+"/a", dir+"/backup")
	for range 4 {
		ps = append(ps, tallyAdd.Send(t.Context(), at, 1))
	}
	run(r, 11)
	c.must(a.Close())
	a, r = c.open(dir + "/backup")
	c.must(a.Adopt(t.Context()))
	c.holds(r, 7)
	ps = append(ps, tallyAdd.Send(t.Context(), at, 1)) // the first that it hears of
	deaf(false)
	a.Reached(b.Host())
	b.Reached(a.Host())
	for i, p := range ps {
		if n, err := p.Await(within(t)); n != int64(6+i) || err != nil {
			t.Errorf("letter %d came to %d, %v; want %d", i, n, err, 6+i)
		}
	}
	c.holds(r, 12)
	c.settled(b)
	c.settled(a)
}
