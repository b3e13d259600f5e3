package apitest

import (
	"encoding/json"
	"fmt"
)

var schemaOfLine = map[string]string{
	"consent": "Consent", "withdrawal": "Withdrawal", "correction": "Correction", "disclosure": "Disclosure",
	"activity": "Activity", "signal": "Signal", "delivered": "EventEnd", "event_ended": "EventEnd",
}

// CheckLines holds the lines of what streams against the document.
func (c *Contract) CheckLines(path string, status int, asked, answered [][]byte) (found []error) {
	for i, line := range answered {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			found = append(found, fmt.Errorf("line %d of the answer is no JSON object: %w", i+1, err))
			continue
		}
		err := error(nil)
		code, problem := v["code"]
		switch number, _ := v["line"].(float64); {
		case status >= 300 || problem && path != "/v1/batch":
			err = c.is("Problem", v)
		case path != "/v1/batch":
			err = c.is("Affected", v)
		case problem:
			if err = c.is("BatchAnswer", v); err == nil {
				delete(v, "line")
				err = c.is("Problem", v)
			}
		default:
			if err = c.is("BatchAnswer", v); err == nil && int(number) >= 1 && int(number) <= len(asked) {
				err = c.takenLine(asked[int(number)-1])
			}
		}
		if err != nil {
			found = append(found, fmt.Errorf("line %d of the answer (code %v): %w", i+1, code, err))
		}
	}
	return found
}

// takenLine holds a line of a batch that was recorded against the schema of its call.
func (c *Contract) takenLine(line []byte) error {
	var v map[string]any
	if err := json.Unmarshal(line, &v); err != nil {
		return fmt.Errorf("the line was taken: %w", err)
	}
	kind, _ := v["type"].(string)
	name, ok := schemaOfLine[kind]
	if !ok {
		return fmt.Errorf("a line of type %q was taken", kind)
	}
	if name != "EventEnd" {
		delete(v, "type")
	}
	delete(v, "idempotency_key")
	if err := c.is(name, v); err != nil {
		return fmt.Errorf("the line was taken: %w", err)
	}
	return nil
}

func (c *Contract) is(schema string, v any) error {
	return c.Doc.Components.Schemas[schema].Value.VisitJSON(v)
}
