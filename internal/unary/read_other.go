//go:build !unix

package unary

import "net"

func newReader(conn net.Conn) reader { return &plainReader{conn: conn} }
