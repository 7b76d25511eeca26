package sqlstore

import "strings"

// effect is what a handler's statement may do to its transaction, judged by its text.
type effect uint8

const (
	// stays means that the transaction goes on.
	stays effect = iota
	// marks means that the transaction goes on and has a savepoint of the handler.
	marks
	// mayEnd means that the transaction may have ended, such as by a change of the schema in MySQL, or by one of several statements.
	mayEnd
	// ends means that the statement begins or ends a transaction.
	ends
)

// effectOf returns the effect of a statement by its first words.
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

// several returns stays, or mayEnd if the text has another statement.
func several(query string) effect {
	if strings.Contains(strings.TrimRight(query, "; \t\r\n"), ";") {
		return mayEnd
	}

	return stays
}

// nextWord returns the first word of a text in capitals, and the rest. It skips comments and semicolons before the word.
func nextWord(text string) (word, rest string) {
	for {
		text = strings.TrimLeft(text, "; \t\r\n\f\v(")

		switch {
		case strings.HasPrefix(text, "--"), strings.HasPrefix(text, "#"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			// MySQL executes the content of a comment such as /*! COMMIT */.
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
