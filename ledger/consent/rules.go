package consent

// A rule is one promise that the ledger keeps for a shop, named as in the list
// of requirements: A is what is recorded, B what is decided, C what is
// forgotten, D what members, operators and auditors can get.
type rule struct{ row, en, ko string }

var rules = []rule{
	{"A1", "a consent is the member's own decision, on the version in force and on exactly what was shown; doing nothing is none", "동의는 시행 중인 버전과 실제로 보여 준 글에 대해 회원이 직접 내린 결정이며, 아무것도 하지 않은 것은 동의가 아닙니다"},
	{"A2", "a policy says for each purpose its items, period, legal basis, and the right to refuse and its cost", "방침은 목적마다 항목, 보유 기간, 법적 근거, 거부할 권리와 거부 시의 불이익을 밝혀야 합니다"},
	{"A3", "refusing what is optional blocks nothing that is mandatory, and each purpose is a decision of its own", "선택 사항을 거부해도 필수 사항은 막히지 않으며, 목적마다 따로 결정합니다"},
	{"A4", "each kind of member has its own purposes and items", "회원 종류마다 목적과 항목이 따로 있습니다"},
	{"A5", "prohibited items are never taken, sensitive ones only by a decision of their own, and a secret has no value here", "금지 항목은 받지 않고, 민감정보는 별도의 동의로만 받으며, 비밀 항목의 값은 기록하지 않습니다"},
	{"A6", "who is younger than the policy's minimum age is not recorded, or only with a guardian's verified consent", "방침의 최소 연령 미만인 사람은 기록하지 않거나, 확인된 법정대리인의 동의가 있을 때만 기록합니다"},
	{"A7", "each cookie choice is a consent of its own, and a browser's signal is never one", "쿠키 선택은 각각 별도의 동의이며, 브라우저의 신호는 동의가 아닙니다"},
	{"A8", "a withdrawal is of named purposes or of the whole membership, and is as easy as the consent was", "철회는 특정 목적이나 회원 자격 전체에 대한 것이며, 동의만큼 쉬워야 합니다"},
	{"A9", "a correction is a request and then one outcome; the values die when it is done and every recipient is told", "정정은 요청과 하나의 결과로 이루어지며, 처리가 끝나고 제공받은 곳에 모두 알린 뒤 값은 파기합니다"},
	{"A10", "a disclosure says to whom, what, what for and on which basis", "제공 기록은 누구에게, 무엇을, 어떤 목적과 근거로 제공했는지 밝힙니다"},
	{"A11", "a notice says what was told to whom, when, by which channel and how it ended", "통지 기록은 무엇을 누구에게 언제 어떤 경로로 알렸고 결과가 어땠는지 밝힙니다"},
	{"A12", "whoever looks at a member's data says why, and the look is recorded", "회원의 정보를 열람하는 사람은 이유를 밝히며, 열람은 기록됩니다"},

	{"B1", "whether something is allowed is answered from what the member decided, with the entry that it rests on", "허용 여부는 회원의 결정에 따라, 근거가 되는 기록과 함께 답합니다"},
	{"B2", "nothing is disclosed without a consent in force for the recipient, purpose and items, unless the policy lists an exemption", "제공받는 자, 목적, 항목에 대한 유효한 동의가 없으면 방침에 적힌 예외가 아닌 한 제공할 수 없습니다"},
	{"B3", "what is not a purpose of the policy is not allowed, whatever was consented to", "방침에 밝히지 않은 목적은 동의가 있어도 허용되지 않습니다"},
	{"B4", "while a correction is open, the item may be neither used nor disclosed", "정정이 끝날 때까지 그 항목은 이용하거나 제공할 수 없습니다"},
	{"B5", "a consent is asked for again when the purpose, its items, its period or the right to refuse changed", "목적, 항목, 보유 기간 또는 거부할 권리가 바뀌면 동의를 다시 받아야 합니다"},
	{"B6", "a change is announced with its reason, and takes effect no sooner than the notice period after that", "변경은 이유와 함께 알려야 하며, 알린 뒤 예고 기간이 지나야 시행됩니다"},
	{"B7", "a recipient stands on the register, in force, before anything is given to it", "제공받는 자는 제공하기 전에 등록부에 유효하게 올라 있어야 합니다"},
	{"B8", "what is marked anonymised is about nobody, and what is marked pseudonymised carries no member id outside", "익명 제공은 누구에 관한 것도 아니며, 가명 제공에는 회원 식별자가 실리지 않습니다"},
	{"B9", "a processor gets optional items only if the member consented to them for that purpose", "수탁자는 회원이 그 목적으로 동의한 선택 항목만 받을 수 있습니다"},

	{"C1", "leaving destroys at once what only the membership justified, and says what is kept, until when and why", "탈퇴하면 회원 자격만으로 보유하던 것을 즉시 파기하고, 무엇을 언제까지 왜 보관하는지 알립니다"},
	{"C2", "everything recorded is in a class that says how long it is kept, and a class never changes its period", "모든 기록은 보유 기간이 정해진 구분(class)에 속하며, 구분의 기간은 바뀌지 않습니다"},
	{"C3", "what is kept after leaving is kept apart, and read only for the law that keeps it", "탈퇴 후 보관하는 것은 따로 두며, 보관의 근거가 된 법률을 위해서만 열람합니다"},
	{"C4", "what has reached the end of its time is destroyed without anybody asking", "보유 기간이 끝난 것은 요청이 없어도 파기합니다"},
	{"C5", "a legal hold names what it stops, its ground and its end", "법적 보존(hold)은 대상, 근거, 종료 시점을 밝혀야 합니다"},
	{"C6", "the data of a dormant member rests until the member comes back", "휴면 회원의 정보는 회원이 돌아올 때까지 이용하지 않습니다"},
	{"C7", "what is destroyed cannot be brought back", "파기한 것은 되살릴 수 없습니다"},
	{"C8", "whoever leaves gets a certificate of destruction that anybody can check", "탈퇴한 회원은 누구나 검증할 수 있는 파기 증명서를 받습니다"},
	{"C9", "after a destruction the log still verifies, and what was destroyed can be linked to nobody", "파기한 뒤에도 원장은 검증되며, 파기한 기록은 누구와도 연결되지 않습니다"},
	{"C10", "copies elsewhere are asked to be destroyed, by a date, and the outcome is recorded", "다른 곳에 있는 사본은 기한을 정해 파기를 요청하고 결과를 기록합니다"},

	{"D1", "a member gets everything that is held of them, readable by people and by machines", "회원은 자신에 관해 보유한 모든 것을 사람과 기계가 읽을 수 있는 형태로 받습니다"},
	{"D2", "a receipt proves an entry offline and for ever", "영수증은 기록을 오프라인에서 영구히 증명합니다"},
	{"D3", "a member's request has a deadline and one outcome", "회원의 요청에는 기한과 하나의 결과가 있습니다"},
	{"D4", "after a breach the members and items affected come out of the records", "유출이 있으면 영향을 받은 회원과 항목을 기록에서 찾습니다"},
	{"D5", "the register of processing comes out of the policies of one controller", "처리 활동 기록은 한 개인정보처리자의 방침에서 만들어집니다"},
	{"D6", "named people answer for the data, and handing over duties is recorded", "개인정보 책임자를 지정하고 업무 인계를 기록합니다"},
	{"D7", "a key says what it is for, may do what its role allows, and can be taken back", "키는 용도를 밝히고 역할이 허용하는 일만 하며 폐기할 수 있습니다"},
	{"D8", "an auditor can verify everything and read nothing", "감사자는 모든 것을 검증할 수 있으나 아무것도 열람할 수 없습니다"},
}

// ruleOfCode is the row that each code of a refusal belongs to. A code that
// several calls share stands with the first of them in the list.
var ruleOfCode = map[string]string{
	"decisions_required": "A1", "duplicate_purpose": "A1", "invalid_locale": "A1", "invalid_method": "A1",
	"invalid_shown_digest": "A1", "items_required": "A1", "locale_not_in_policy": "A1", "locale_required": "A1",
	"method_required": "A1", "not_a_choice": "A1", "not_a_consent": "A1", "occurred_at_in_future": "A1",
	"occurred_at_required": "A1", "policy_version_not_in_force": "A1", "too_large": "A1", "unknown_member": "A1",
	"unknown_policy": "A1", "unknown_policy_version": "A1",

	"duplicate_field": "A2", "invalid_value": "A2", "missing_field": "A2", "policy_syntax": "A2", "policy_too_large": "A2",
	"text_not_inline": "A2", "text_not_readable": "A2", "unknown_field": "A2", "unknown_name": "A2",

	"duplicate_item": "A3", "items_not_refused_alone": "A3", "mandatory_item_missing": "A3", "unique_id_item": "A3",

	"item_not_for_member_kind": "A4", "member_kind_required": "A4", "purpose_not_for_member_kind": "A4",
	"unknown_item": "A4", "unknown_member_kind": "A4",

	"prohibited_item": "A5", "secret_item": "A5", "secret_value": "A5", "sensitive_item": "A5",

	"age_not_stated": "A6", "guardian_not_accepted": "A6", "guardian_required": "A6", "invalid_birth_date": "A6",
	"invalid_guardian": "A6", "under_age": "A6",

	"invalid_signal": "A7", "not_cookies": "A7",

	"invalid_scope": "A8", "mandatory_item": "A8", "nothing_to_withdraw": "A8", "purposes_required": "A8",

	"changes_required": "A9", "correction_finished": "A9", "correction_open": "A9", "invalid_outcome": "A9",
	"invalid_reason": "A9", "unknown_correction": "A9",

	"invalid_form": "A10", "invalid_recipient": "A10", "purpose_ambiguous": "A10", "purpose_required": "A10",

	"channel_required": "A11", "correction_not_allowed": "A11", "correction_required": "A11", "destruction_not_allowed": "A11",
	"invalid_channel": "A11", "invalid_notice_kind": "A11", "member_id_required": "A11", "member_or_destruction_required": "A11",
	"reason_required": "A11", "recipient_not_to_be_told": "A11", "recipient_required": "A11", "sent_at_in_future": "A11",
	"sent_at_required": "A11",

	"access_reason_required": "A12", "invalid_access": "A12", "invalid_access_reason": "A12",

	"at_in_future": "B1",

	"basis_not_allowed": "B2", "item_not_consented": "B2", "no_effective_consent": "B2", "recipient_not_consented": "B2",

	"purpose_not_stated": "B3", "unknown_purpose": "B3",

	"item_suspended": "B4",

	"needs_policy_version": "B6", "notice_too_short": "B6", "policy_version_exists": "B6", "policy_version_not_newer": "B6",

	"duplicate_recipient": "B7", "recipient_id_taken": "B7", "recipient_not_allowed": "B7", "recipient_not_for_purpose": "B7",
	"recipient_not_registered": "B7", "unknown_recipient": "B7",

	"member_id_not_allowed": "B8",

	"membership_class_missing": "C1",

	"class_not_open": "C2", "class_rule_changed": "C2", "invalid_event_type": "C2", "invalid_reference": "C2", "reference_required": "C2",
	"reference_ended": "C2", "reference_unknown": "C2", "too_many_references": "C2",

	"not_kept_apart": "C3",

	"class_ambiguous": "C5", "classes_required": "C5", "duplicate_class": "C5", "ground_required": "C5", "hold_finished": "C5",
	"invalid_ground": "C5", "invalid_until": "C5", "unknown_class": "C5", "unknown_hold": "C5",

	"dormant": "C6", "not_dormant": "C6",

	"due_at_required": "C10", "invalid_due_at": "C10", "unknown_destruction": "C10",

	"invalid_request_type": "D3", "processing_suspended": "D3", "received_at_in_future": "D3", "received_at_required": "D3",
	"request_finished": "D3", "unknown_request": "D3",

	"other_controller": "D5", "other_time_zone": "D5",

	"handover_at_in_future": "D6", "handover_needed": "D6", "handover_to_self": "D6", "invalid_operator_name": "D6", "invalid_operator_role": "D6",
	"not_responsible": "D6", "operator_ended": "D6", "responsible_taken": "D6", "unknown_operator": "D6", "unknown_operator_to": "D6",

	"invalid_name": "D7", "unknown_role": "D7", "invalid_policies": "D7", "invalid_certificate": "D7",
	"invalid_witness_key": "D8", "invalid_witness_url": "D8", "too_many_required": "D8", "too_many_witnesses": "D8", "witness_known": "D8", "witness_needed": "D8",

	"certificate_taken": "D7", "key_name_taken": "D7", "last_admin": "D7", "too_many_keys": "D7",
}

// RuleOf returns the row of the requirements ("B2") that a refusal's code
// belongs to, or "" for a code that no rule refuses with.
func RuleOf(code string) string { return ruleOfCode[code] }

// RuleWords returns a row's rule in one sentence, for a shop's developer, in a
// language, "en" or "ko"; any other is English. It is "" for no row.
func RuleWords(row, lang string) string {
	for i := range rules {
		if rules[i].row == row {
			if lang == "ko" {
				return rules[i].ko
			}
			return rules[i].en
		}
	}
	return ""
}

// Rule returns the row of the requirements that the refusal belongs to.
func (r *Refusal) Rule() string { return RuleOf(r.Code) }
