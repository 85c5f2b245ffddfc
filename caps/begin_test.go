package caps

import (
	"context"
	"testing"
)

// ground is a host whose calls end at once.
type ground struct{ asked int }

func (*ground) Deliver(context.Context, Ref, Message) (Reply, error) { return Reply{}, nil }

func (*ground) Begin(context.Context, Ref, Message, bool) (wait func() (Reply, error), line any) {
	return func() (Reply, error) { return Reply{}, nil }, nil
}

func (g *ground) Room(context.Context) (leave func(), err error) {
	g.asked++
	return func() {}, nil
}

// TestAChainOfBegunCallsKeepsNoneBeforeTheLast: otherwise a program that goes from one to the next
// keeps them all, and each call takes longer than the one before.
func TestAChainOfBegunCallsKeepsNoneBeforeTheLast(t *testing.T) {
	g := &ground{}
	r := NewMaker().Make(g, Full())
	for range 3 {
		r = Message{To: r, Method: "next"}.begin(t.Context(), true)
		if b, ok := r.target.(*begun); !ok || b.host != beginner(g) {
			t.Fatal(r)
		}
	}
	if g.asked != 3 {
		t.Error(g.asked)
	}
}
