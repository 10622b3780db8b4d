"""All settings of a server: the groups together, what they must agree on, and what follows from several of them."""

from __future__ import annotations

from pydantic import model_validator

from tradecast.config.addresses import addresses_overlap
from tradecast.config.errors import SettingsError
from tradecast.config.groups.delivery import DeliverySettings
from tradecast.config.groups.demo import DemoSettings
from tradecast.config.groups.engine import EngineSettings
from tradecast.config.groups.http import HttpSettings
from tradecast.config.groups.lifecycle import AcceptSettings, RolloutSettings
from tradecast.config.groups.limits import LimitSettings
from tradecast.config.groups.listen import ListenSettings
from tradecast.config.groups.mongodb import MongodbSettings
from tradecast.config.groups.observability import ObservabilitySettings
from tradecast.config.groups.redis import RedisSettings
from tradecast.config.groups.sessions import SessionSettings
from tradecast.config.types import StoreName
from tradecast.config.urls import is_cluster

# Why a server cannot publish for both modes.
NO_OTHER = "needs another Redis: REDIS_CLUSTER_URL in addition to REDIS_URL, and mode pubsub or sharded"


class Settings(
    # The last one's fields come first, in errors and on the page.
    DemoSettings,
    ObservabilitySettings,
    HttpSettings,
    LimitSettings,
    SessionSettings,
    MongodbSettings,
    DeliverySettings,
    RedisSettings,
    EngineSettings,
    RolloutSettings,
    AcceptSettings,
    ListenSettings,
):
    """What one server runs with. Times are in seconds unless the name says otherwise."""

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        wrong: list[str] = []
        wrong += self._find_wrong_modes()
        if self.session_store == "redis" and self.redis_url is None:
            wrong.append("SESSION_STORE: redis needs REDIS_URL")
        if self.session_store == "mongodb" and self.mongodb_uri is None:
            wrong.append("SESSION_STORE: mongodb needs MONGODB_URI")
        if self.users_collection and self.mongodb_uri is None:
            wrong.append("USERS_COLLECTION: needs MONGODB_URI")
        if self.session_require_signed and not self.session_secrets:
            wrong.append("SESSION_REQUIRE_SIGNED: needs SESSION_SECRETS")
        if self.session_cookie_name is not None and "*" in self.cors_origin:
            wrong.append("SESSION_COOKIE_NAME: any page could use its visitors' cookies while CORS_ORIGIN is `*`")
        if any(not value for value, _ in self.session_tiers):
            wrong.append("SESSION_TIERS: must be a list such as gold=premium,2=enterprise")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            wrong.append("SSL_CERTFILE, SSL_KEYFILE: set both or neither")
        internal = self.internal_files
        if None in internal and any(internal):
            wrong.append("INTERNAL_CERT_FILE, INTERNAL_KEY_FILE, INTERNAL_CA_FILE: set all or none of them")
        if self.internal_require_tls and None in internal:
            wrong.append("INTERNAL_REQUIRE_TLS: needs INTERNAL_CERT_FILE, INTERNAL_KEY_FILE and INTERNAL_CA_FILE")
        if self.port == self.admin_port != 0 and addresses_overlap(self.host, self.admin_host):
            wrong.append("ADMIN_PORT: must differ from PORT")
        if self.forwards and self.internal_port != 0 and not self.internal_port_moves:
            for name, host, port in (("PORT", self.host, self.port), ("ADMIN_PORT", self.admin_host, self.admin_port)):
                if port == self.internal_port and addresses_overlap(host, self.internal_host):
                    wrong.append(f"INTERNAL_PORT: must differ from {name}")
        if self.slow_client_patience >= self.ping_timeout:
            wrong.append("SLOW_CLIENT_TIMEOUT: must be less than PING_TIMEOUT")
        if "conflate_above_bytes" in self.model_fields_set and self.conflate_above_bytes > self.send_buffer_limit:
            wrong.append("CONFLATE_ABOVE_BYTES: must not be more than SEND_BUFFER_LIMIT")
        if self.batch_window_ms / 1000 >= self.publish_timeout:
            wrong.append("BATCH_WINDOW_MS: must be less than PUBLISH_TIMEOUT")
        if self.rate_limit_global < max(self.rate_limit_subscribe, self.rate_limit_unsubscribe):
            wrong.append("RATE_LIMIT_GLOBAL: must not be less than the limit of a single event")
        if wrong:
            raise SettingsError("\n".join(wrong))
        return self

    def _find_wrong_modes(self) -> list[str]:
        wrong: list[str] = []
        if self.redis_cluster_url is not None:
            if self.redis_url is None:
                wrong.append("REDIS_CLUSTER_URL: needs REDIS_URL as well, for everything but events")
            elif is_cluster(self.redis_url):
                wrong.append("REDIS_CLUSTER_URL: must not be set if REDIS_URL is already a Redis Cluster's")
        if self.adapter_mode == "pubsub" and "pubsub" not in self.modes:
            wrong.append("ADAPTER_MODE: pubsub needs a REDIS_URL that is not a Redis Cluster's")
        if self.adapter_mode == "sharded" and "sharded" not in self.modes:
            wrong.append("ADAPTER_MODE: sharded needs REDIS_CLUSTER_URL, or a REDIS_URL that is a Redis Cluster's")
        if self.publish_both and self.other_mode is None:
            wrong.append(f"PUBLISH_BOTH: {NO_OTHER}")
        return wrong

    @property
    def most_tcp_connections(self) -> int:
        """MAX_TCP_CONNECTIONS, or what fits MAX_CONNECTIONS: a polling client uses two at times."""
        return self.max_tcp_connections or 2 * self.max_connections + 256

    @property
    def waits_for_others(self) -> bool:
        """Whether polling is offered only as long as all servers pass requests on to each other."""
        return self.redis_url is not None and not self.transports

    @property
    def internal_port_moves(self) -> bool:
        """Whether another internal port will do where this one is taken: nobody has asked for it."""
        return not self.transports and "internal_port" not in self.model_fields_set

    @property
    def forwards(self) -> bool:
        """Whether servers pass requests on to each other: there may be several, and not every client sticks to one."""
        return self.redis_url is not None and "polling" in self.offered_transports

    @property
    def store_name(self) -> StoreName:
        """SESSION_STORE with `auto` decided."""
        if self.session_store != "auto":
            return self.session_store
        if self.mongodb_uri:
            return "mongodb"
        return "redis" if self.redis_url else "memory"
