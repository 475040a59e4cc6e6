package export

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is how a [FileExporter] compresses its records.
type Compression uint8

// The choices. A compressed file is a row of gzip members or zstd frames, each holding
// one line, so that zcat, zstdcat and all libraries read it as one stream, while
// it is written and after a crash.
const (
	NoCompression Compression = iota
	Gzip
	Zstd
)

// String returns "none", "gzip" or "zstd".
func (c Compression) String() string {
	switch c {
	case NoCompression:
		return "none"
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("Compression(%d)", uint8(c))
}

// A gzip member does not say where it ends. Ours do, in an extra field (RFC 1952,
// 2.3.1.1), as that of blocked gzip does: finding the last whole one takes a look
// at each header, not the decompression of the file.
//
//	offset 10: XLEN = 8 | 'R' 'T' | LEN = 4 | length of the member, 4 bytes, little-endian
const (
	gzipExtraAt  = 10
	gzipLengthAt = gzipExtraAt + 2 + 4
	gzipHeader   = gzipLengthAt + 4
)

var gzipExtra = []byte{'R', 'T', 4, 0, 0, 0, 0, 0}

// framer makes a record of each line. It may be used by several goroutines at once.
type framer struct {
	compression Compression
	gzips       sync.Pool // of *gzip.Writer
	zstd        *zstd.Encoder
}

func newFramer(c Compression) (*framer, error) {
	f := &framer{compression: c}
	f.gzips.New = func() any { return gzip.NewWriter(nil) }
	if c == Zstd {
		var err error
		if f.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(4), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *framer) close() {
	if f.zstd != nil {
		_ = f.zstd.Close()
	}
}

func (f *framer) append(dst, line []byte) []byte {
	if f.compression == Zstd {
		return f.zstd.EncodeAll(line, dst)
	}
	at := len(dst)
	buf := bytes.NewBuffer(dst)
	w := f.gzips.Get().(*gzip.Writer)
	defer f.gzips.Put(w)
	w.Reset(buf)
	w.Extra = gzipExtra
	_, _ = w.Write(line) // a bytes.Buffer does not fail
	_ = w.Close()
	dst = buf.Bytes()
	binary.LittleEndian.PutUint32(dst[at+gzipLengthAt:], uint32(len(dst)-at))
	return dst
}

// errFormat says that a file is not what it is to be continued as.
var errFormat = errors.New("it does not begin as such a file does; rename it, or export to another one")

// checkBeginning looks at the first bytes of a file that is not empty.
func checkBeginning(f io.ReaderAt, size int64, c Compression) error {
	begins := map[Compression]string{NoCompression: "{", Gzip: "\x1f\x8b", Zstd: "\x28\xb5\x2f\xfd"}[c]
	begins = begins[:min(int64(len(begins)), size)]
	p := make([]byte, len(begins))
	if _, err := f.ReadAt(p, 0); err != nil {
		return err
	}
	if string(p) != begins {
		return errFormat
	}
	return nil
}

// wholeRecords returns where the last whole record ends. unended says that what
// follows is a record but for its end of line.
func wholeRecords(f io.ReaderAt, size int64, c Compression) (end int64, unended bool, err error) {
	if c == NoCompression {
		return wholeLines(f, size)
	}
	memberEnd, verify := gzipMemberEnd, verifyGzip
	if c == Zstd {
		memberEnd, verify = zstdFrameEnd, verifyZstd
	}
	var begins []int64
	for end < size {
		next, ok := memberEnd(f, end, size)
		if !ok {
			break
		}
		begins = append(begins, end)
		end = next
	}
	// After a power failure a file may be as long as it should and hold zeros.
	for len(begins) > 0 {
		begin := begins[len(begins)-1]
		if verify(io.NewSectionReader(f, begin, end-begin)) {
			break
		}
		begins, end = begins[:len(begins)-1], begin
	}
	return end, false, nil
}

// maxUnended is the longest line without an end that is looked at.
const maxUnended = 64 << 20

func wholeLines(f io.ReaderAt, size int64) (end int64, unended bool, err error) {
	buf := make([]byte, 64<<10)
	for end = size; end > 0; {
		p := buf[:min(int64(len(buf)), end)]
		if _, err := f.ReadAt(p, end-int64(len(p))); err != nil {
			return 0, false, err
		}
		if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
			end += int64(i + 1 - len(p))
			break
		}
		end -= int64(len(p))
	}
	if end < size && size-end <= maxUnended {
		tail := make([]byte, size-end)
		if _, err := f.ReadAt(tail, end); err != nil {
			return 0, false, err
		}
		unended = json.Valid(tail)
	}
	return end, unended, nil
}

// gzipMemberEnd returns where the member at begin ends; ok is false if that is not
// within the file.
func gzipMemberEnd(f io.ReaderAt, begin, size int64) (end int64, ok bool) {
	var h [gzipHeader]byte
	if _, err := f.ReadAt(h[:], begin); err == nil &&
		h[0] == 0x1f && h[1] == 0x8b && h[3]&4 != 0 &&
		bytes.Equal(h[gzipExtraAt:gzipLengthAt], []byte{8, 0, 'R', 'T', 4, 0}) {
		end = begin + int64(binary.LittleEndian.Uint32(h[gzipLengthAt:]))
		return end, end > begin && end <= size
	}
	// Somebody else's member: it ends where its decompression does.
	section := io.NewSectionReader(f, begin, size-begin)
	r := bufio.NewReader(section)
	z, err := gzip.NewReader(r)
	if err != nil {
		return 0, false
	}
	z.Multistream(false)
	if _, err := io.Copy(io.Discard, z); err != nil {
		return 0, false
	}
	read, _ := section.Seek(0, io.SeekCurrent)
	return begin + read - int64(r.Buffered()), true
}

func verifyGzip(r io.Reader) bool {
	z, err := gzip.NewReader(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, z)
	return err == nil
}

// zstdFrameEnd follows a frame's blocks to its end (RFC 8878, 3.1.1).
func zstdFrameEnd(f io.ReaderAt, begin, size int64) (end int64, ok bool) {
	var p [zstd.HeaderMaxSize]byte
	n, _ := f.ReadAt(p[:], begin)
	var h zstd.Header
	if err := h.Decode(p[:n]); err != nil {
		return 0, false
	}
	end = begin + int64(h.HeaderSize)
	if h.Skippable {
		end += int64(h.SkippableSize)
		return end, end <= size
	}
	for last := false; !last; {
		var b [4]byte
		if _, err := f.ReadAt(b[:3], end); err != nil {
			return 0, false
		}
		block := binary.LittleEndian.Uint32(b[:])
		last = block&1 != 0
		length := int64(block >> 3)
		if block>>1&3 == 1 { // a byte to be repeated
			length = 1
		}
		end += 3 + length
	}
	if h.HasCheckSum {
		end += 4
	}
	return end, end <= size
}

func verifyZstd(r io.Reader) bool {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return false
	}
	defer z.Close()
	_, err = io.Copy(io.Discard, z)
	return err == nil
}
