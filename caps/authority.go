package caps

import "strings"

// all is every right there is.
const all = Read | Write | Run

// Full is the authority of who made the object.
func Full() Authority { return Authority{Rights: all} }

// Attenuate returns a with no more than the given rights. What is left with neither Write
// nor Run becomes deep, unless Shallow is among them.
func (a Authority) Attenuate(to Rights) Authority {
	a.Rights &= to & all
	if a.Rights&(Write|Run) == 0 && to&Shallow == 0 {
		a.Deep = true
	}
	return a
}

// Through returns what is left of a when the Ref that carries it was obtained through a Ref
// with authority via. This is the only place where authorities are combined.
func (a Authority) Through(via Authority) Authority {
	if via.Deep {
		a.Rights, a.Deep = a.Rights&Read, true
	}
	if via.Gate != nil {
		return via.Gate.cross(a)
	}
	return a
}

// Narrows reports whether Through(via) could change anything. Its gate has been checked.
func (via Authority) Narrows() bool {
	if via.Deep {
		return true
	}
	if via.Gate == nil {
		return false
	}
	f := via.Gate.facts.Load()
	return f == nil || f.covers != nil
}

// Inward is what the arguments of a call with authority via go in through: x.Through of it
// is what is left of an argument x. Only membranes change those.
func (via Authority) Inward() Authority {
	in := Full()
	if via.Gate != nil && via.Narrows() {
		in.Gate = via.Gate // if it cannot be read any more, nothing is left of what goes in
		if f, err := via.Gate.load(); err == nil {
			in.Gate = f.inward
		}
	}
	return in
}

// Allows reports whether a includes all of need.
func (a Authority) Allows(need Rights) bool { return a.Rights&need == need }

// String is the authority as people read it: "rwx", "r, deep", "none", and the grants it
// came through.
func (a Authority) String() string {
	text := a.Rights.String()
	if a.Deep {
		text += ", deep"
	}
	if a.Gate != nil {
		text += " (" + a.Gate.String() + ")"
	}
	return text
}

// String is the set as letters, "rw", or "none"; Shallow is not shown.
func (r Rights) String() string {
	var b strings.Builder
	for i, c := range "rwx" {
		if r&(1<<i) != 0 {
			b.WriteRune(c)
		}
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}
