/* A page as those of the original were written: a class of one's own around window.ChatUp.ChatUpProtocol, with the names
 * and statuses of version 1.3. Nothing here is new since then, but that texts become textContent. */
(function () {
  'use strict';

  function Room(node, conf) {
    var find = function (name) { return node.querySelector('.' + name); };
    var protocol = new window.ChatUp.ChatUpProtocol(conf);

    function line(text) {
      var item = document.createElement('li');
      item.textContent = text;
      find('messages').appendChild(item);
      item.scrollIntoView({ block: 'nearest' });
    }

    protocol.onMsg(function (message) { line(message.user.name + ': ' + message.msg); });
    protocol.onEv(function (event) {
      if (event.ev === 'join' || event.ev === 'leave')
        line(event.user.name + (event.ev === 'join' ? ' joined' : ' left'));
      else
        line(event.ev + ' ' + JSON.stringify(event.data));
    });
    protocol.onStatusChange(function (status) {
      var isOpen = status === 'connected' || status === 'authenticated';
      find('status').textContent = isOpen ? status + ' to ' + conf.room + ' on ' + protocol._worker.host : status;
    });
    protocol.onUserCountUpdate(function (stats) {
      find('people').textContent = stats.pubCount;
      find('guests').textContent = stats.subCount - stats.pubCount;
    });
    find('form').onsubmit = function (event) {
      event.preventDefault();
      if (!protocol._pubConnected) {
        line('(authenticate first)');
        return;
      }
      protocol.say(find('text').value).catch(function (error) {
        line('(' + error.err + (error.ttl > 0 ? ', for ' + error.ttl + ' seconds' : '') + ')');
      });
      find('text').value = '';
    };

    this.init = function () { return protocol.init(); };
    this.authenticate = function (jwt) {
      conf.jwt = jwt;
      protocol.authenticate().catch(function () {}); /* the status says it */
    };
  }

  function addRoom() {
    var node = document.getElementById('room').content.cloneNode(true).firstElementChild;
    var room;
    document.getElementById('rooms').appendChild(node);
    node.querySelector('.join').onclick = function () {
      room = new Room(node, {
        dispatcherURL: document.getElementById('dispatcherURL').value,
        room: node.querySelector('.room').value,
        socketIO: { transports: ['websocket'], multiplex: false },
      });
      room.init();
    };
    node.querySelector('.authenticate').onclick = function () {
      if (room)
        room.authenticate(node.querySelector('.jwt').value.trim());
    };
  }

  document.getElementById('dispatcherURL').value = location.origin;
  document.getElementById('add').onclick = addRoom;
  addRoom();
})();
