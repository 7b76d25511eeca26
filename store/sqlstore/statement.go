package sqlstore

import "strings"

// effect is what a handler's statement may do to the transaction that it is sent in, as far as its text says.
type effect uint8

const (
	// stays is the effect of statements after which the transaction is there.
	stays effect = iota
	// marks is the effect of statements after which the transaction is there, with a savepoint of the handler's.
	marks
	// mayEnd is the effect of statements that may have ended it, such as a change of the schema in MySQL, or several at once.
	mayEnd
	// ends is the effect of statements that are there to begin or to end transactions.
	ends
)

// effectOf reads the first words of a statement.
func (d Dialect) effectOf(query string) effect {
	first, rest := nextWord(query)
	second, _ := nextWord(rest)

	switch first {
	case "COMMIT", "END", "ABORT":
		return ends
	case "BEGIN":
		if second != "NOT" { // MariaDB has BEGIN NOT ATOMIC
			return ends
		}
	case "START", "PREPARE":
		if second == "TRANSACTION" {
			return ends
		}
	case "ROLLBACK":
		if second == "WORK" || second == "TRANSACTION" {
			_, rest = nextWord(rest)
			second, _ = nextWord(rest)
		}

		if second != "TO" {
			return ends
		}

		return several(query)
	case "SAVEPOINT":
		return max(marks, several(query))
	case "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "RELEASE":
		return several(query)
	}

	if d == MySQL || first == "" {
		return mayEnd
	}

	return several(query)
}

// several is the effect of a statement that stays, unless there is another one behind it.
func several(query string) effect {
	if strings.Contains(strings.TrimRight(query, "; \t\r\n"), ";") {
		return mayEnd
	}

	return stays
}

// nextWord is the first word of a text in capitals, and what follows it. Comments and semicolons before it are skipped.
func nextWord(text string) (word, rest string) {
	for {
		text = strings.TrimLeft(text, "; \t\r\n\f\v(")

		switch {
		case strings.HasPrefix(text, "--"), strings.HasPrefix(text, "#"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			// MySQL executes what is in a comment such as /*! COMMIT */.
			if skipped, ok := strings.CutPrefix(text, "/*!"); ok {
				text = strings.TrimLeft(skipped, "0123456789")

				continue
			}

			_, text, _ = strings.Cut(text[2:], "*/")
		default:
			end := strings.IndexFunc(text, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') })
			if end < 0 {
				end = len(text)
			}

			return strings.ToUpper(text[:end]), text[end:]
		}
	}
}
