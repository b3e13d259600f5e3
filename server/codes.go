package server

import "net/http"

type codeKind struct {
	status     int
	title      string
	korean     string // the title in Korean
	retryAfter int
	rule       string // the row of the requirements that it comes from, if any
}

// codes are the server's own. The rules' codes come with the refusals of ledger/consent.
var codes = map[string]codeKind{
	"no_such_route":      {http.StatusNotFound, "No such route", "없는 경로", 0, ""},
	"method_not_allowed": {http.StatusMethodNotAllowed, "Method not allowed", "허용되지 않는 메서드", 0, ""},
	"unauthorized":       {http.StatusUnauthorized, "A valid API key is needed", "유효한 API 키가 필요함", 0, ""},
	"policy_not_allowed": {http.StatusForbidden, "The key is for other policies", "다른 처리방침용 키", 0, "D7"},
	"role_not_allowed":   {http.StatusForbidden, "The key's role does not allow this", "키의 역할로는 할 수 없음", 0, ""},

	"sign_in_failed":      {http.StatusUnauthorized, "Not signed in", "로그인하지 못함", 0, "D7"},
	"sign_in_throttled":   {http.StatusTooManyRequests, "Too many tries have failed", "실패한 시도가 너무 많음", 1, "D7"},
	"invitation_invalid":  {http.StatusForbidden, "The invitation cannot be used", "쓸 수 없는 초대", 0, "D7"},
	"enrolment_not_begun": {http.StatusConflict, "The enrolment has not begun", "등록을 시작하지 않음", 0, "D7"},
	"invalid_password":    {http.StatusBadRequest, "The password may not be used", "쓸 수 없는 비밀번호", 0, "D7"},

	"malformed_request": {http.StatusBadRequest, "Not a request that can be read in one way", "한 가지로 읽을 수 없는 요청", 0, ""},
	"headers_too_large": {http.StatusRequestHeaderFieldsTooLarge, "The headers are too large", "헤더가 너무 큼", 0, ""},

	"idempotency_not_available": {http.StatusBadRequest, "No idempotency key belongs here", "멱등 키를 쓸 수 없는 호출", 0, ""},
	"idempotency_key_invalid":   {http.StatusBadRequest, "Invalid idempotency key", "잘못된 멱등 키", 0, ""},
	"idempotency_key_reused":    {http.StatusUnprocessableEntity, "The idempotency key stands for another call", "다른 호출에 쓰인 멱등 키", 0, ""},
	"idempotency_in_progress":   {http.StatusConflict, "The first call is still under way", "첫 호출이 아직 처리 중", 1, ""},
	"already_done":              {http.StatusConflict, "This was done before", "이미 처리된 호출", 0, ""},
	"not_acceptable":            {http.StatusNotAcceptable, "Not available in an acceptable form", "받을 수 있는 형식으로 답할 수 없음", 0, ""},
	"unsupported_media_type":    {http.StatusUnsupportedMediaType, "Unsupported media type", "지원하지 않는 미디어 형식", 0, ""},
	"unsupported_encoding":      {http.StatusUnsupportedMediaType, "Unsupported content encoding", "지원하지 않는 콘텐츠 인코딩", 0, ""},
	"body_too_large":            {http.StatusRequestEntityTooLarge, "The body is too large", "본문이 너무 큼", 0, ""},
	"line_too_large":            {http.StatusRequestEntityTooLarge, "The line is too large", "행이 너무 큼", 0, ""},

	"empty_body":            {http.StatusBadRequest, "The body is empty", "본문이 비어 있음", 0, ""},
	"unexpected_body":       {http.StatusBadRequest, "A body where none belongs", "본문이 있어서는 안 되는 호출", 0, ""},
	"incomplete_body":       {http.StatusBadRequest, "The body did not arrive whole", "본문이 끝까지 도착하지 않음", 0, ""},
	"malformed_json":        {http.StatusBadRequest, "Malformed JSON", "잘못된 JSON", 0, ""},
	"trailing_data":         {http.StatusBadRequest, "Data after the JSON value", "JSON 값 뒤에 데이터가 있음", 0, ""},
	"invalid_utf8":          {http.StatusBadRequest, "Invalid UTF-8", "잘못된 UTF-8", 0, ""},
	"lone_surrogate":        {http.StatusBadRequest, "Half of a surrogate pair", "서로게이트 쌍의 반쪽", 0, ""},
	"hidden_character":      {http.StatusBadRequest, "A character that nobody sees", "보이지 않는 문자", 0, ""},
	"duplicate_field":       {http.StatusBadRequest, "Duplicate field", "중복된 필드", 0, ""},
	"unknown_field":         {http.StatusBadRequest, "Unknown field", "알 수 없는 필드", 0, ""},
	"wrong_case_field":      {http.StatusBadRequest, "Field name in the wrong case", "필드 이름의 대소문자가 다름", 0, ""},
	"missing_field":         {http.StatusBadRequest, "Missing field", "누락된 필드", 0, ""},
	"wrong_type":            {http.StatusBadRequest, "Value of the wrong type", "값의 형식이 다름", 0, ""},
	"null_value":            {http.StatusBadRequest, "null where a value belongs", "값 자리에 null이 있음", 0, ""},
	"empty_value":           {http.StatusBadRequest, "Empty where a value belongs", "값 자리가 비어 있음", 0, ""},
	"nesting_too_deep":      {http.StatusBadRequest, "Nested too deep", "중첩이 너무 깊음", 0, ""},
	"not_an_integer":        {http.StatusBadRequest, "Not an integer", "정수가 아님", 0, ""},
	"number_out_of_range":   {http.StatusBadRequest, "Number out of range", "숫자가 범위를 벗어남", 0, ""},
	"invalid_value":         {http.StatusBadRequest, "Invalid value", "잘못된 값", 0, ""},
	"invalid_member_id":     {http.StatusBadRequest, "Invalid member id", "잘못된 회원 식별자", 0, ""},
	"invalid_time":          {http.StatusBadRequest, "Invalid time", "잘못된 시각", 0, ""},
	"invalid_date":          {http.StatusBadRequest, "Invalid date", "잘못된 날짜", 0, ""},
	"invalid_digest":        {http.StatusBadRequest, "Invalid digest", "잘못된 다이제스트", 0, ""},
	"unknown_parameter":     {http.StatusBadRequest, "Unknown query parameter", "알 수 없는 쿼리 매개변수", 0, ""},
	"invalid_parameter":     {http.StatusBadRequest, "Invalid query parameter", "잘못된 쿼리 매개변수", 0, ""},
	"access_reason_missing": {http.StatusBadRequest, "Access-Reason is missing", "Access-Reason이 없음", 0, "A12"},
	"access_reason_invalid": {http.StatusBadRequest, "Access-Reason is invalid", "Access-Reason이 잘못됨", 0, "A12"},
	"access_ground_missing": {http.StatusBadRequest, "Access-Ground is missing", "Access-Ground가 없음", 0, "C3"},
	"access_ground_invalid": {http.StatusBadRequest, "Access-Ground is invalid", "Access-Ground가 잘못됨", 0, "C3"},

	"unknown_member":  {http.StatusNotFound, "Unknown member", "알 수 없는 회원", 0, ""},
	"ground_not_kept": {http.StatusNotFound, "Nothing is kept on that ground", "그 근거로 보관된 것이 없음", 0, "C3"},
	"no_certificate":  {http.StatusNotFound, "No certificate waits", "기다리는 증명서가 없음", 0, "C8"},
	"unknown_entry":   {http.StatusNotFound, "No such entry", "그런 기록이 없음", 0, ""},
	"unknown_key":     {http.StatusNotFound, "No such API key", "그런 API 키가 없음", 0, ""},
	"unknown_witness": {http.StatusNotFound, "No such witness", "그런 증인이 없음", 0, ""},
	"unknown_tile":    {http.StatusNotFound, "No such tile", "그런 타일이 없음", 0, ""},
	"no_checkpoint":   {http.StatusNotFound, "No checkpoint yet", "아직 체크포인트가 없음", 0, ""},

	"member_withdrawn": {http.StatusConflict, "The member has withdrawn", "탈퇴한 회원", 0, "C3"},
	"member_dormant":   {http.StatusConflict, "The member is dormant", "휴면 상태의 회원", 0, "C6"},

	"request_timeout":      {http.StatusRequestTimeout, "The request came too slowly", "요청이 너무 느리게 도착함", 0, ""},
	"too_many_requests":    {http.StatusTooManyRequests, "Too many requests with this key", "이 키의 요청이 너무 많음", 0, ""},
	"witnesses_away":       {http.StatusServiceUnavailable, "Too few witnesses have signed", "서명한 증인이 부족함", 5, ""},
	"busy":                 {http.StatusServiceUnavailable, "Too many writes are waiting", "대기 중인 기록이 너무 많음", 1, ""},
	"too_many_connections": {http.StatusServiceUnavailable, "Too many connections are open", "열린 연결이 너무 많음", 1, ""},
	"too_many_batches":     {http.StatusServiceUnavailable, "Too many batches are running", "실행 중인 일괄 처리가 너무 많음", 5, ""},
	"read_only":            {http.StatusServiceUnavailable, "The ledger has stopped writing", "원장이 기록을 멈춤", 60, ""},
	"starting":             {http.StatusServiceUnavailable, "The server is starting", "서버가 시작되는 중", 1, ""},
	"low_disk":             {http.StatusServiceUnavailable, "The disk is nearly full", "디스크가 거의 가득 참", 60, ""},
	"shutting_down":        {http.StatusServiceUnavailable, "The server is shutting down", "서버가 종료되는 중", 5, ""},
	"outcome_unknown":      {http.StatusInternalServerError, "It is not known whether this was recorded", "기록되었는지 알 수 없음", 0, ""},
	"internal_error":       {http.StatusInternalServerError, "Something went wrong inside the server", "서버 내부에서 문제가 생김", 0, ""},
}
