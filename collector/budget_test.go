package collector

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The least memory that a configuration may have is enough for the largest requests, compressed
// or not; and who sends what will never fit hears that, and not to come back.
func TestLargestRequestsFit(t *testing.T) {
	const largest = 1 << 20
	noise := make([]byte, largest)
	rand.NewChaCha8([32]byte{}).Read(noise) // it does not get smaller
	for _, limit := range []int64{2 * largest, 3 * largest, 8 * largest} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			s := start(t, &takeAll{}, func(c *Config) { c.MaxRequestBytes, c.MemoryLimit = largest, limit })
			conn := dial(t, s)
			for name, body := range map[string][]byte{"zeros": make([]byte, largest), "noise": noise[:largest*9/10]} {
				for _, how := range []string{"identity", "gzip", "zstd"} {
					if err := invoke(conn, exportMethod, body, grpc.UseCompressor(how)); err != nil {
						t.Errorf("%s, %s: %v", name, how, err)
					}
				}
			}
			// As it comes it is as large as it is unpacked, and there is what the budget counts beside.
			st := status.Convert(invoke(conn, exportMethod, noise[:largest-2000], grpc.UseCompressor("gzip")))
			if limit > 2*largest {
				if st.Code() != codes.OK {
					t.Errorf("noise: %v", st)
				}
			} else if st.Code() != codes.ResourceExhausted || len(st.Details()) > 0 || !strings.Contains(st.Message(), "--memory-limit") {
				t.Errorf("noise: %v", st)
			}
			if got := s.Stats(); got.Overloaded != 0 {
				t.Errorf("%+v", got)
			}
			allGivenBack(t, s)
		})
	}
}
