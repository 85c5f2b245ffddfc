package sturdy

import (
	"sync"

	"github.com/sturdyrt/sturdy/caps"
)

// texts remembers what sturdy refs were restored lately, by their hash: a web server
// restores the same few with each request. What it remembers is checked anew each time.
type texts struct {
	mu sync.RWMutex
	m  map[[32]byte]caps.Ref
}

const maxTexts = 4096

func (x *texts) get(sum [32]byte) (ref caps.Ref, ok bool) {
	x.mu.RLock()
	ref, ok = x.m[sum]
	x.mu.RUnlock()
	return ref, ok
}

// put drops another, whichever comes first, when there are too many.
func (x *texts) put(sum [32]byte, ref caps.Ref) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.m == nil {
		x.m = map[[32]byte]caps.Ref{}
	}
	if len(x.m) >= maxTexts {
		for other := range x.m {
			delete(x.m, other)
			break
		}
	}
	x.m[sum] = ref
}

func (x *texts) drop(sum [32]byte) {
	x.mu.Lock()
	delete(x.m, sum)
	x.mu.Unlock()
}
