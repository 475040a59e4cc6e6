//go:build !linux

package collector

import "net"

func counted(conn net.Conn, leave func()) net.Conn { return &countedConn{Conn: conn, leave: leave} }
