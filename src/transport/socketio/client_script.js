// Switchboard does not carry the client's bundle. This says so where the page's author looks.
var io = function () {
  throw new Error(io.message);
};
io.message =
  "This server has no copy of the Socket.IO client. Take it from npm (socket.io-client, in dist/), host it with the page " +
  "or load it from a CDN, such as https://cdn.jsdelivr.net/npm/socket.io-client@4/dist/socket.io.min.js. If this address is " +
  "to lead there, set socketio.client to the folder's URL.";
io.connect = io;
console.error(io.message);
