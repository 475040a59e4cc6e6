package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// expand puts the values of environment variables into every scalar below n:
// ${env:NAME}, ${NAME} and ${env:NAME:-default}, and $$ for a dollar sign. A value
// that is nothing but one variable is read as YAML would read it in that place, so that
// ${env:PORT} can be a number; keys are left alone. (OpenTelemetry, "Configuration
// file", environment variable substitution.)
func expand(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				continue
			}
			if err := expand(child); err != nil {
				return err
			}
		}
		return nil
	}
	if !strings.Contains(n.Value, "$") {
		return nil
	}
	value, err := expandString(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	if n.Style == 0 && n.ShortTag() == "!!str" {
		n.Tag = "" // plain: resolved again
	}
	n.Value = value
	return nil
}

var (
	reference    = regexp.MustCompile(`\$\$|\$\{[^}]*\}?`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func expandString(s string) (string, error) {
	var failed error
	out := reference.ReplaceAllStringFunc(s, func(ref string) string {
		if ref == "$$" {
			return "$"
		}
		inner, closed := strings.CutSuffix(ref[2:], "}")
		if !closed {
			failed = fmt.Errorf("%q: the closing } is missing; a literal ${ is written $${", ref)
			return ref
		}
		name, fallback, hasFallback := strings.Cut(strings.TrimPrefix(inner, "env:"), ":-")
		if scheme, _, other := strings.Cut(name, ":"); other {
			failed = fmt.Errorf("%q: there is no source %q of values; only env is supported, as in ${env:NAME}", ref, scheme)
			return ref
		}
		if !variableName.MatchString(name) {
			failed = fmt.Errorf("%q: %q is no name of an environment variable", ref, name)
			return ref
		}
		if value := os.Getenv(name); value != "" || !hasFallback {
			return value
		}
		return fallback
	})
	return out, failed
}
