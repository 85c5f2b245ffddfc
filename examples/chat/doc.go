// Package chat has rooms in which people talk. Who is let in is given a seat, a capability
// to say something; what the room is given in return is a screen, a capability to be called
// back: anything that understands [Show], most often a sturdy.Port that Go code listens at.
//
// Where things stand: chat.go what may be asked, room.go the room, seat.go what its holder
// has, feed.go how posts get to a screen, check.go what is refused. server is a host
// with one room, client somebody who takes part, from a world of his own in memory.
//
// # How a post gets to every screen
//
// The list of posts is the queue, for all screens. Each has a feed, which knows how far the
// screen has got, and has one message under way at most: it carries all that is new, up to a
// bound, and its promise, through Then, tells the feed to go on or that the screen is gone.
// So every screen shows all posts, each once, in the order in which they were said; and one
// that is slow or has stopped costs its room one message, whatever is said meanwhile.
//
// Rejected: a message for each post and screen. They would pile up before a slow screen,
// charged to whoever sends them, until nobody could say anything because one does not listen.
//
// # Guests from other hosts
//
// A room knows nothing of hosts: a screen on another one is a reference like any other, stored
// in its feed, and what is sent to it waits while either host is down. So a restart of the room
// takes nobody's seat, and shows nobody a line twice. What a room cannot know is whether a host
// that does not answer ever will; see [Room.Knock].
package chat
