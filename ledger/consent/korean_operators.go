package consent

// koreanOperators are the messages of the register of operators.
var koreanOperators = map[string]string{
	"is the person's name: 1 to 200 bytes in Unicode normalization form C on one line, without control or invisible characters or space around it": "담당자의 이름입니다. 유니코드 정규형 C로 한 줄에 1~200바이트이며, 제어 문자나 보이지 않는 문자, 앞뒤 공백이 없어야 합니다.",
	"a person's role is one of dpo, reader, admin, auditor; writer is for machines, which have API keys":                                           "사람의 역할은 dpo, reader, admin, auditor 중 하나입니다. writer는 API 키를 쓰는 기계를 위한 역할입니다.",
	"somebody is responsible already; add the person with responsible: false, and hand over with POST /v1/operators/{id}/handover":                 "이미 개인정보 보호책임자가 있습니다. responsible: false로 등록한 뒤 POST /v1/operators/{id}/handover로 인계하십시오.",
	"there is no such operator; GET /v1/operators lists them":                                                                                      "그런 담당자가 없습니다. GET /v1/operators에서 확인하십시오.",
	"the operator has ended; GET /v1/operators lists those who have not":                                                                           "업무가 끝난 담당자입니다. GET /v1/operators에서 현재 담당자를 확인하십시오.",
	"the operator is not responsible for customer information, and has nothing to hand over; see GET /v1/operators":                                "개인정보 보호책임자가 아니므로 인계할 것이 없습니다. GET /v1/operators에서 확인하십시오.",
	"there is no such operator; add the person first, with POST /v1/operators":                                                                     "그런 담당자가 없습니다. 먼저 POST /v1/operators로 등록하십시오.",
	"name another operator; this one is responsible already":                                                                                       "다른 담당자를 적으십시오. 이 담당자가 이미 보호책임자입니다.",
	"is more than five minutes ahead; record a handover when it has happened":                                                                      "5분 넘게 앞선 시각입니다. 인계는 이루어진 뒤에 기록하십시오.",
	"the operator is responsible for customer information; hand over first, with POST /v1/operators/{id}/handover":                                 "개인정보 보호책임자입니다. 먼저 POST /v1/operators/{id}/handover로 인계하십시오.",
}
