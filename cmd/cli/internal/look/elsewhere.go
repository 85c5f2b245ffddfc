package look

import (
	"context"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Describe is w.Describe for listings. Of an object on another host than w's its ID is the number
// there and the host, like "14 at 6mgcfjxm". A world that is open here asks no other host: what
// is known here of such an object is its kind without whose it is, and the rights. A running host
// is asked, and asks the other.
func Describe(ctx context.Context, w World, ref caps.Ref) (info sturdy.ObjectInfo, err error) {
	rt, here := w.(*sturdy.Runtime)
	if !here {
		if info, err = w.Describe(ctx, ref); err == nil && info.Host != w.Host() {
			info.ID += " at " + ShortHost(info.Host)
		}
		return info, err
	}
	err = rt.View(ctx, func(t *sturdy.ReadTurn) error { // in which nobody waits for another host
		info, err = rt.Describe(t, ref)
		return err
	})
	kind, id, host, away := Elsewhere(ref)
	if !away {
		return info, err
	}
	may := ref.Rights()
	a := caps.Authority{Rights: may &^ caps.Shallow, Deep: may&(caps.Write|caps.Run|caps.Shallow) == 0}
	return sturdy.ObjectInfo{ID: id + " at " + host, Host: host, Kind: sturdy.KindInfo{Name: kind}, Rights: a}, nil
}

// Elsewhere is what is known here of an object on another host that has been described, or
// failed to be: its kind and number there, and the first characters of the host's name. away
// is false for objects of this world. Of what that host has from a third one the number and the
// name are its own.
func Elsewhere(ref caps.Ref) (kind, id, host string, away bool) {
	words := strings.Fields(ref.String()) // that of an object here has its rights in the third place
	if len(words) < 4 || words[2] != "at" {
		return "", "", "", false
	}
	return words[0], words[1], words[3], true
}
