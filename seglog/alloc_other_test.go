//go:build !linux

package seglog

import (
	"errors"
	"os"
)

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

func misalign(*direct) {}
