package sturdy_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// The channel from the program to one target, as who sends, awaits and reads sees it: a
// queue. Sent are those that were sent, in order; Done is how many have been delivered at
// least.
type channelState struct {
	Sent string // lines, each with a blank behind it
	Done int    // bytes of Sent
}

type channelOp struct{ Send, Await, Read string }

// channelModel is the dumb twin.
func channelModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return channelState{} },
		Step: func(state, in, _ any) (bool, any) {
			s, op := state.(channelState), in.(channelOp)
			switch {
			case op.Send != "":
				s.Sent += op.Send
				return true, s
			case op.Await != "":
				for end := len(op.Await); end <= len(s.Sent); end++ {
					if s.Sent[end-len(op.Await):end] == op.Await {
						s.Done = max(s.Done, end)
						return true, s
					}
				}
				return false, s
			}
			if len(op.Read) < s.Done || len(op.Read) > len(s.Sent) || s.Sent[:len(op.Read)] != op.Read {
				return false, s
			}
			s.Done = len(op.Read)
			return true, s
		},
		Equal: func(a, b any) bool { return a == b },
	}
}

// TestAChannelIsAQueue has several goroutines send to one object, await and read it.
func TestAChannelIsAQueue(t *testing.T) {
	o := fastPost(t)
	a := o.at("a")
	began, mu := time.Now(), sync.Mutex{}
	var history []porcupine.Operation
	do := func(client int, fn func() channelOp) {
		call := time.Since(began).Nanoseconds()
		op := fn()
		ret := time.Since(began).Nanoseconds()
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{ClientId: client, Input: op, Call: call, Output: nil, Return: ret})
	}
	var busy sync.WaitGroup
	for c := range 3 {
		busy.Go(func() {
			for i := range 8 {
				line := fmt.Sprintf("%d/%d ", c, i)
				var p caps.Promise[caps.Done]
				do(c, func() channelOp { p = agNote.Send(t.Context(), a, line); return channelOp{Send: line} })
				if i%3 == 0 {
					do(c, func() channelOp {
						if _, err := p.Await(t.Context()); err != nil {
							t.Error(err)
						}
						return channelOp{Await: line}
					})
				}
				if i%3 == 1 {
					do(c, func() channelOp {
						got, err := agLines.Call(t.Context(), a)
						if err != nil {
							t.Error(err)
						}
						all := ""
						for _, l := range got {
							all += l
						}
						return channelOp{Read: all}
					})
				}
			}
		})
	}
	busy.Wait()
	switch porcupine.CheckOperationsTimeout(channelModel(), history, 5*time.Second) {
	case porcupine.Illegal:
		t.Error("no order of the sends explains what was read")
	case porcupine.Unknown: // on a slow machine more operations overlap than can be tried out
		t.Log("no verdict within five seconds")
	}
}

// TestManySendAwaitStoreAndCallOnePromise at the same time, while it is kept.
func TestManySendAwaitStoreAndCallOnePromise(t *testing.T) {
	o := fastPost(t)
	must(t, agKeep.Call(t.Context(), o.at("a"), o.at("b")))
	a, b := o.at("a"), o.at("b")
	for round := range 5 {
		p := agGive.Send(sturdy.Relaxed(t.Context()), a)
		var busy sync.WaitGroup
		for i := range 64 {
			busy.Go(func() {
				switch i % 4 {
				case 0:
					if ref, err := awaits(t, p); err != nil || !ref.Same(b) {
						t.Error(ref, err)
					}
				case 1:
					if err := o.Root().Put(t.Context(), fmt.Sprint("p", i), p.Ref()); err != nil {
						t.Error(err)
					}
				case 2:
					if _, err := awaits(t, agNote.Send(t.Context(), p.Ref(), "x")); err != nil {
						t.Error(err)
					}
				case 3:
					if err := agNote.Call(t.Context(), p.Ref(), "x"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		busy.Wait()
		o.settles()
		if got, err := agLines.Call(t.Context(), b); len(got) != 32*(round+1) || err != nil {
			t.Errorf("%d lines, %v", len(got), err)
		}
	}
	o.reads("b", slices.Repeat([]string{"x"}, 160)...)
}
