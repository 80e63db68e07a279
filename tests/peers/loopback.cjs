// `node --require` this: every server of the process listens on loopback, whatever it asks for, and
// its port is told on stdout as "loopback PORT". (server-everything binds all interfaces.)
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  this.once("listening", () => console.log(`loopback ${this.address().port}`));
  const callback = rest.find((value) => typeof value === "function");
  return listen.call(this, { host: "127.0.0.1", port: Number(port) }, callback);
};
