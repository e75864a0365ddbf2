<?php
// The back end of Socket.IO's chat, for hooks of Switchboard: `php -S 127.0.0.1:8000 backend.php`, with PHP alone.

$url = getenv('SWITCHBOARD_URL') ?: 'http://127.0.0.1:3000';
$secret = trim(file_get_contents(getenv('HOOK_SECRET_FILE') ?: 'secret'));
$key = base64_decode(substr($secret, strlen('whsec_')));

// Whether Switchboard has sent this, in the last five minutes.
function is_signed(string $key, string $body): bool
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $time = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '0';
    $signature = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$time.$body", $key, true));
    $given = explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '');
    $known = array_filter($given, fn($each) => hash_equals($signature, $each));
    return $known && abs(time() - (int) $time) < 300;
}

function ask(string $url, array $more = []): string
{
    $headers = ['Authorization: Bearer ' . getenv('API_KEY'), 'Content-Type: application/json'];
    $options = ['header' => $headers, 'ignore_errors' => true] + $more;
    return file_get_contents($url, false, stream_context_create(['http' => $options])) ?: '{}';
}

// How many have a name: they are the members of the room "chat".
function count_users(string $url): int
{
    return json_decode(ask("$url/v1/rooms/chat"))->users ?? 0;
}

function to_others(string $event, array $data): array
{
    return ['emit' => [$event, $data], 'to' => 'all', 'except' => 'caller'];
}

// What is replied to an event of a client; the state is what the client's connection keeps.
function answer(array $call, string $url): array
{
    ['event' => $event, 'args' => $args] = $call;
    $state = $call['state'] ?? null;
    if ($event === 'add user') {
        if ($state) {
            return ['do' => []];
        }
        $user = ['username' => (string) $args[0]];
        $number = ['numUsers' => count_users($url) + 1];
        $joined = to_others('user joined', $user + $number);
        $name = ['join' => '@' . rawurlencode($user['username'])];
        return ['state' => $user, 'do' => [['join' => 'chat'], $name, ['emit' => ['login', $number]], $joined]];
    }
    if (!$state) {
        return ['deny' => ['code' => 'bad_request', 'message' => 'add a user first']];
    }
    $data = $event === 'new message' ? $state + ['message' => $args[0]] : $state; // or "typing", "stop typing"
    return ['do' => [to_others($event, $data)]];
}

// What is heard of members who have left: each was alone in a room that has the name.
function hear(string $room, string $url): void
{
    $left = ['username' => rawurldecode(substr($room, 1)), 'numUsers' => count_users($url)];
    ask("$url/v1/emit", ['method' => 'POST', 'content' => json_encode(['emit' => ['user left', $left], 'to' => 'all'])]);
}

$body = file_get_contents('php://input');
header('Content-Type: application/json');
if (!is_signed($key, $body)) {
    http_response_code(401);
    exit('{}');
}
$call = json_decode($body, true);
foreach ($call['events'] ?? [] as $event) {
    if ($event['type'] === 'member.left') {
        hear($event['room'], $url);
    }
}
echo isset($call['events']) ? '{}' : json_encode(answer($call, $url));
