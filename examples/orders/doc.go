// Package orders fulfils orders, through crashes and holidays. An order is an object, and what
// is to be done about it is a program on a thread: reserve the goods, wait two days for
// somebody's approval, charge the card, wait a day for second thoughts, ship. The program
// reads as if nothing could happen to it. Whatever fails for good is undone, backwards.
//
// Where things stand: fulfil.go the program, orders.go the order and what its holders may
// ask, stock.go the goods, gateway.go the way to the payment provider, stuck.go what an
// operator looks at. demo is a shop that can be killed at any time.
package orders
