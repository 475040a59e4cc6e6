// Package unary serves unary gRPC calls over HTTP/2 to a handler that is given a request's
// bytes as they come, before it is known how many there will be, and may refuse the rest at
// any moment.
//
//	connection ─▶ read ─▶ frames ─▶ [Handler.Begin]  a header came
//	              64 KiB     │      [Body.Data]      bytes, where they were read to
//	              at a time  │      [Body.Keep]      they are about to be read over
//	                         │      [Body.End]       all came: the handler has it
//	client ◀─ one write ◀────┘◀──── [Call.Reply]     from any goroutine, now or later
//	          for a read
//
// One goroutine reads a connection and calls the handler: a request that came whole with one
// read is never copied on its way there, and no other goroutine is woken for it. A
// connection that waits has no read buffer.
//
// What a client may send without being asked is [Window] bytes of a request. What it did
// send is in the read buffer, or in what the handler has kept and so counted: nothing else is
// held. The peer's frames are read in one pass and cost no memory, however small they are
// cut; a header is at most [MaxHeader] bytes, packed and unpacked.
//
// It is HTTP/2 of RFC 9113 as far as servers of unary calls need it: without server push,
// priorities, CONNECT, or the upgrade from HTTP/1.1. Answers have no content but the empty
// message. Header compression is golang.org/x/net/http2/hpack's. What would end a single stream
// whose call is over or refused is dropped instead, and of a header only the fields that are
// used are looked at: nothing is forwarded, so that nobody could be misled.
//
// Files: server.go, who listens, who stops and the clock; conn.go, one connection; read_*.go,
// how it is read; frames.go, what its bytes mean; header.go, who calls; call.go, a call's
// life; output.go, what is sent.
package unary
