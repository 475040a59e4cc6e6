package autoconfigure

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
)

// env reads variables, and logs the values that it cannot use. (Specification:
// Environment Variables, "Type-specific guidance".)
type env struct{ log *slog.Logger }

// lookup returns a value without white space around it; "" counts as unset.
func lookup(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// normal is how names are compared.
func normal(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

func (e env) ignore(name, value, want string) {
	e.log.LogAttrs(context.Background(), slog.LevelWarn, "ringtail: ignoring "+name,
		slog.String("value", value), slog.String("want", want))
}

func (e env) boolean(name string) bool {
	switch value := normal(lookup(name)); value {
	case "true":
		return true
	case "", "false":
	default:
		e.ignore(name, value, "true or false")
	}
	return false
}

// number reads an integer from least to most.
func (e env) number(name string, least, most int) (n int, ok bool) {
	value := lookup(name)
	if value == "" {
		return 0, false
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		e.ignore(name, value, "a number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
		return 0, false
	}
	return n, true
}

// list reads names that are separated by commas, each once. "none" stands alone.
func (e env) list(name, fallback string) []string {
	value := lookup(name)
	var names []string
	for item := range strings.SplitSeq(value, ",") {
		if item = normal(item); item != "" && !slices.Contains(names, item) {
			names = append(names, item)
		}
	}
	if len(names) == 0 {
		return strings.Split(fallback, ",")
	}
	if i := slices.Index(names, "none"); i >= 0 && len(names) > 1 {
		e.ignore(name, "none", "none alone, or names without it")
		names = slices.Delete(names, i, i+1)
	}
	return names
}
